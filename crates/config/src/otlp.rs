//! `[control.otlp]`: where metrics are sent.

use crate::{BaseUrl, Otlp, Scheme, check::Check, file::FileOtlp, network::Reach, pem, server::bounded};

/// Between two exports where nothing is said, in seconds: what OpenTelemetry's own exporters have.
const SECONDS: u32 = 60;

pub(crate) fn checked(file: &FileOtlp, check: &mut Check<'_>) -> Option<Otlp> {
    let url = check.take(file.url.span(), url(file));
    let seconds = bounded(file.seconds.as_ref(), 1..=86_400, "seconds", check).unwrap_or(SECONDS);
    let extra_roots = file.ca.as_ref().and_then(|ca| {
        let certificates = pem::certificates(&check.path(ca.get_ref()));
        check.take(ca.span(), certificates)
    });
    let authorization = file.authorization.as_ref().and_then(|secret| {
        let value = secret.get_ref().document(secret.span(), check)?;
        // RFC 9110, 5.5: what a field may hold.
        if value.expose().is_empty() || !value.expose().iter().all(|byte| (b' '..=b'~').contains(byte)) {
            let holder = secret.get_ref().holder();
            check.problem(secret.span(), format!("{holder} must hold one line, such as the word Bearer, a space and a token"));
            return None;
        }
        Some(value)
    });
    let allow_private_network = file.allow_private_network;
    Some(Otlp { url: url?, allow_private_network, extra_roots: extra_roots.unwrap_or_default(), seconds, authorization })
}

fn url(file: &FileOtlp) -> Result<BaseUrl, String> {
    let url = BaseUrl::parse(file.url.get_ref()).map_err(str::to_owned)?;
    let private = url.scheme == Scheme::Http || url.reach() == Reach::Private;
    if url.reach() == Reach::Nowhere || (private && !file.allow_private_network) {
        return Err(
            "metrics are sent over https:// to a public address: write one, or allow_private_network = true if the collector is \
                    in a private network"
                .to_owned(),
        );
    }
    Ok(url)
}
