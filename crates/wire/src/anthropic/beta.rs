//! What a client asks for with `anthropic-beta` (<https://docs.anthropic.com/en/api/beta-headers>).

/// The values in one `anthropic-beta` header. Each must be on the provider's list before it is passed on: some switch on features that keep
/// content.
///
/// ```
/// use lethe_wire::anthropic::beta_values;
/// let values: Vec<&str> = beta_values("interleaved-thinking-2025-05-14, files-api-2025-04-14,").collect();
/// assert_eq!(values, ["interleaved-thinking-2025-05-14", "files-api-2025-04-14"]);
/// ```
pub fn beta_values(header: &str) -> impl Iterator<Item = &str> {
    header.split(',').map(str::trim).filter(|value| !value.is_empty())
}
