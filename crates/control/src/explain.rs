//! What each code means, and what an operator does about it. `docs/diagnosis.md` shows the same; a test compares them.

use lethe_policy::Standing;
use lethe_types::{Failure, Refused};

/// A meaning and a way on.
pub type Explained = (&'static str, &'static str);

/// A failed attempt at a provider.
#[must_use]
pub const fn failure(failure: Failure) -> Explained {
    match failure {
        Failure::ClientGone => (
            "the client closed its connection before its answer was complete",
            "nothing, unless it is frequent: then clients' own time limits are shorter than the provider's answers",
        ),
        Failure::Connect => (
            "the provider's port refused or reset the connection",
            "check host and port in base_url, and the firewall; `lethe provider test` shows each address",
        ),
        Failure::Credential => (
            "the provider's credential could not be obtained or renewed, and nothing was sent",
            "`lethe diagnose` says why under `credentials`; `lethe provider test` shows the server's own words",
        ),
        Failure::Cut => (
            "the answer stopped before its end",
            "the provider or something in between closes connections; compare with `lethe provider test`",
        ),
        Failure::Dialer => (
            "this deployment's own dialer was busy, gone, or did not know the endpoint",
            "look at lethe_part_ends_total and `lethe posture`; it is a mistake in Lethe if it goes on",
        ),
        Failure::Dns => (
            "the host name does not resolve, or only to addresses that are not allowed",
            "check the name and /etc/resolv.conf; a private address needs allow_private_network = true",
        ),
        Failure::ErrorInAnswer => (
            "an answer with status 200 held or became the provider's own error",
            "the caller has seen the provider's words; look at the provider's status page",
        ),
        Failure::Forbidden => (
            "the provider answered 403",
            "the credential is known but may not do this: check project, region, and access to the model",
        ),
        Failure::Internal => (
            "the gateway itself gave up on the request",
            "look at lethe_panics_total and report the place: it is a mistake in Lethe",
        ),
        Failure::Malformed => (
            "the answer is not HTTP, not the media type asked for, or broken JSON or events",
            "base_url probably names something else than the API: check its path",
        ),
        Failure::RateLimited => {
            ("the provider answered 429", "ask the provider for a higher limit, or add a route with another provider")
        }
        Failure::Redirected => (
            "the provider answered 3xx, and redirects are not followed",
            "write the address that it redirects to into base_url, if it is the provider's own",
        ),
        Failure::Rejected => (
            "the provider refused the request itself (another 4xx)",
            "the caller has seen the provider's words; if all requests are refused, check the model's name in routes",
        ),
        Failure::ServerError => {
            ("the provider answered 5xx", "look at the provider's status page; add a route with another provider")
        }
        Failure::Terms => (
            "the provider's terms are missing, not zero retention, or due for review",
            "review them and record it in [provider.terms]",
        ),
        Failure::TimeoutConnect => (
            "no address of the provider took the connection in time",
            "a firewall drops packets: allow the gateway's machine out to this host and port",
        ),
        Failure::TimeoutFirstByte => (
            "no answer began within first_byte_seconds",
            "the provider is slow or stuck; raise first_byte_seconds if its answers take longer",
        ),
        Failure::TimeoutIdle => (
            "the answer paused for longer than idle_seconds",
            "the provider is slow or stuck; raise idle_seconds if pauses are normal",
        ),
        Failure::TimeoutTotal => {
            ("the answer took longer than total_seconds", "raise total_seconds if answers may take this long")
        }
        Failure::Tls => (
            "the TLS handshake failed, or the certificate is not trusted for this name",
            "`lethe provider test` shows the certificate and why; an own authority goes into ca",
        ),
        Failure::Unauthorized => (
            "the provider answered 401",
            "the credential is wrong or expired: put a valid one where api_key points, and start again",
        ),
    }
}

/// A credential that was asked for and not given out.
pub const NOT_OBTAINED: Explained = (
    "the server that gives the credential out refuses, or cannot be reached",
    "`lethe provider test` shows where it is asked for, and the server's own words",
);

/// A client that was not served.
#[must_use]
pub const fn refused(refused: Refused) -> Explained {
    match refused {
        Refused::BadMedia => ("400: media that are not what they say", "the client's own mistake; it has been told the field"),
        Refused::BodyTooLarge => ("413: the body is larger than max_body_mib", "raise max_body_mib if such requests are wanted"),
        Refused::Draining => ("503: the gateway was finishing what is open", "nothing: it was asked to stop"),
        Refused::DuplicateField => ("400: a field occurs twice", "the client's own mistake; it has been told the field"),
        Refused::InvalidApiKey => {
            ("401: the key is unknown or revoked", "if frequent: a client uses an old key, or somebody is guessing")
        }
        Refused::InvalidJson => ("400: the body is not JSON", "the client's own mistake; it has been told where"),
        Refused::InvalidUtf8 => ("400: the body is not UTF-8", "the client's own mistake; it has been told where"),
        Refused::Isolated => ("503: control has isolated the gateway", "find out why it was isolated before it serves again"),
        Refused::JsonTooDeep => ("400: the body is nested too deep", "the client's own mistake"),
        Refused::MalformedBody => {
            ("400: the chunks of the body are broken", "a client or proxy that does not speak HTTP/1.1 properly")
        }
        Refused::MalformedRequest => {
            ("the head is not HTTP/1.1 as it should be", "a scanner, or a client or proxy that does not speak HTTP/1.1 properly")
        }
        Refused::MethodNotAllowed => {
            ("405: the endpoint takes another method", "the client's own mistake; it has been told which")
        }
        Refused::MissingApiKey => ("401: no key was shown", "the client's own mistake, or a scanner"),
        Refused::MissingField => ("400: a required field is missing", "the client's own mistake; it has been told the field"),
        Refused::ModelNotFound => {
            ("404: no such model", "add a [[model]] with this id, or tell the client what GET /v1/models lists")
        }
        Refused::NoRoute => (
            "400: no route is in the required region, or at the named providers",
            "give a provider of the model the region, or tell the client which providers serve it",
        ),
        Refused::NoSnapshot => {
            ("503: the gateway has just started and control has told it nothing yet", "if it goes on: see lethe_gateways_linked")
        }
        Refused::NotDurable => {
            ("503: control cannot commit records", "control's disk is full or broken: see lethe_ledger_durable")
        }
        Refused::Other => {
            ("a reason without a name of its own", "control is older than the gateway: install all executables together")
        }
        Refused::OutboxFull => (
            "503: too many records wait for control",
            "control is away or its disk is full: see lethe_records_pending and the alarms",
        ),
        Refused::Overloaded => {
            ("503: too much is in memory at once", "fewer requests at once, a lower max_body_mib, or another gateway")
        }
        Refused::ProviderBusy => {
            ("503: every provider of the model has as many requests as it may", "raise max_concurrent, or add a provider")
        }
        Refused::QueryNotAccepted => ("400: the URL has a query", "the client's own mistake: queries end up in logs"),
        Refused::RequestTimeout => {
            ("408: head or body did not arrive in time", "slow clients, or connections that are opened and not used")
        }
        Refused::Stale => (
            "503: no word from control for longer than max_stale_seconds",
            "control is away or cannot be reached: see lethe_gateways_linked",
        ),
        Refused::TlsHandshake => (
            "a client's TLS handshake failed or took too long",
            "an old client, one that does not trust the certificate, or a scanner; check that the certificate has not expired",
        ),
        Refused::TooManyFields => ("400: more top-level fields than are looked at", "the client's own mistake"),
        Refused::UnknownEndpoint => ("404: no such path", "a wrong base URL in the client, or a scanner"),
        Refused::UnknownField => {
            ("400: a field is not on the reviewed list", "if it leaves nothing behind at the provider, add it to allow_fields")
        }
        Refused::UnknownToolType => ("400: a tool's type is not on the reviewed list", "tools of type function are served"),
        Refused::UnsupportedField => (
            "400: the provider's format cannot express a field",
            "add a provider that takes the client's own format, if it is wanted",
        ),
        Refused::UnsupportedHeader => (
            "400: a header asks for features that are not on the reviewed list",
            "the client must leave it out; it has been told which",
        ),
        Refused::UnsupportedMediaType => ("415: not JSON by its media type", "the client's own mistake"),
        Refused::UnsupportedOperation => {
            ("400: the model does not serve this operation", "add the operation to the [[model]] if its provider serves it")
        }
        Refused::UntrustedPeer => {
            ("a connection from elsewhere than trusted_peers", "add the proxy's address to trusted_peers, if it was the proxy")
        }
        Refused::WrongType => ("400: a field is of the wrong type", "the client's own mistake; it has been told the field"),
        Refused::ZeroRetentionConflict => {
            ("400: somebody would have to remember", "the client has been told what to send instead")
        }
    }
}

/// Why a provider may serve or not.
#[must_use]
pub const fn standing(standing: Standing) -> Explained {
    match standing {
        Standing::Good => ("reviewed, zero retention, no training", "nothing"),
        Standing::Missing => ("no terms are recorded", "review the provider's terms and write [provider.terms]"),
        Standing::Overdue => {
            ("the review is overdue, or dated in the future", "review the terms again and write reviewed and review_due")
        }
        Standing::Retains => {
            ("the provider keeps content (retention_days above 0)", "agree on zero retention with the provider, or take it out")
        }
        Standing::Trains => ("the provider may train on content", "agree on no training with the provider, or take it out"),
    }
}

#[cfg(test)]
mod tests {
    use lethe_types::{Failure, Refused};

    /// `docs/diagnosis.md`'s tables are these, row by row and in this order.
    #[test]
    fn the_documentation_has_every_code_with_the_same_words() {
        let page = include_str!("../../../docs/diagnosis.md");
        let row = |name: &str, (meaning, advice): super::Explained| format!("| `{name}` | {meaning} | {advice} |\n");
        let failures: String = Failure::ALL.into_iter().map(|of| row(of.name(), super::failure(of))).collect();
        let refusals: String = Refused::ALL.into_iter().map(|of| row(of.name(), super::refused(of))).collect();
        for table in [failures, refusals] {
            assert!(page.contains(&table), "docs/diagnosis.md must hold this table:\n{table}");
        }
    }
}
