//! Signatures over thoughts (<https://ai.google.dev/gemini-api/docs/thought-signatures>).

use crate::conversation::Str;
use crate::media::base64;

/// What the reference has clients send with a call that came from elsewhere, so that there is no signature for it.
pub(super) const PLACEHOLDER: Str<'static> = Str::constant("skip_thought_signature_validator");

/// `lethe:` in base64; six bytes, so that it stands at the beginning of whatever follows it.
const FOREIGN: &str = "bGV0aGU6";

/// Whether `model` refuses a call without a signature: Gemini from version 3 on, and the aliases that point to the newest one.
pub(super) fn is_demanded_by(model: &str) -> bool {
    let name = model.rsplit('/').next().unwrap_or(model);
    let Some(version) = name.strip_prefix("gemini-") else { return false };
    !(version.starts_with("1.") || version.starts_with("1-") || version.starts_with("2.") || version.starts_with("2-"))
}

/// Another provider's signature as this API's bytes: clients decode them and encode them again, so that a text which is no base64, or not in
/// the alphabet that they use, would not come back as it was.
pub(super) fn wrapped(signature: &Str<'_>) -> Str<'static> {
    Str::of(&[FOREIGN, &base64::encode(signature.plain().as_bytes())].concat())
}

/// What [`wrapped`] was given, or the signature as it is.
pub(super) fn unwrapped(signature: Str<'_>) -> Str<'_> {
    let inside = signature.raw().strip_prefix(FOREIGN).and_then(base64::decode).and_then(|bytes| String::from_utf8(bytes).ok());
    match inside {
        Some(plain) => Str::of(&plain),
        None => signature,
    }
}

#[cfg(test)]
mod tests {
    use super::{is_demanded_by, unwrapped, wrapped};
    use crate::conversation::Str;

    #[test]
    fn only_newer_models_demand_it() {
        for model in
            ["gemini-3-pro-preview", "gemini-3.5-flash", "models/gemini-flash-latest", "publishers/google/models/gemini-10"]
        {
            assert!(is_demanded_by(model), "{model}");
        }
        for model in ["gemini-2.5-pro", "gemini-2.0-flash", "gemini-1.5-pro", "gemma-3-27b", "m"] {
            assert!(!is_demanded_by(model), "{model}");
        }
    }

    #[test]
    fn a_foreign_signature_comes_back_as_it_was() {
        for text in ["", "a", "EqQB+/==", "gAAA_-", "é \"x\"\n"] {
            let urlsafe = wrapped(&Str::of(text)).raw().replace('+', "-").replace('/', "_");
            assert_eq!(unwrapped(Str::of(&urlsafe)).plain(), text);
        }
        assert_eq!(unwrapped(Str::constant("CpQBAdHtim9")).raw(), "CpQBAdHtim9", "its own stays");
        assert_eq!(unwrapped(Str::constant("bGV0aGU6!")).raw(), "bGV0aGU6!");
    }
}
