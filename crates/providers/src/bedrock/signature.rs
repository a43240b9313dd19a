//! What signs a request to Bedrock.

use lethe_content::ContentBuf;
use lethe_sigv4::{Signed, date, payload};

use crate::call::{Call, percent_encode};
use crate::head::field;

const SERVICE: &str = "bedrock";

/// Who signs.
pub(crate) struct Signer<'a> {
    pub(crate) access_key_id: &'a str,
    pub(crate) secret_access_key: &'a [u8],
    pub(crate) session_token: Option<&'a [u8]>,
}

impl Signer<'_> {
    /// Appends the fields that sign `call`, which is sent to `target`. `None` if nobody can tell the region.
    pub(crate) fn sign(&self, call: &Call<'_>, target: &str, head: &mut ContentBuf) -> Option<()> {
        let (payload, date) = (payload(call.body.iter().copied()), date(call.now));
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let path = encoded(path);
        let mut fields: Vec<(&str, &[u8])> = vec![
            ("content-type", b"application/json"),
            ("host", call.host.as_bytes()),
            ("x-amz-content-sha256", payload.as_bytes()),
            ("x-amz-date", date.as_bytes()),
        ];
        fields.extend(self.session_token.map(|token| ("x-amz-security-token", token)));
        let region = region(call)?;
        let signed = Signed {
            method: "POST",
            path: &path,
            query,
            fields: &fields,
            payload: &payload,
            region,
            service: SERVICE,
            date: &date,
        };
        let signer = lethe_sigv4::Signer { access_key_id: self.access_key_id, secret_access_key: self.secret_access_key };
        let authorization = signer.authorization(&signed);
        // The first two are in the head already.
        fields.iter().skip(2).try_for_each(|(name, value)| field(head, name, value))?;
        field(head, "authorization", authorization.as_bytes())
    }
}

/// What is sent encoded is encoded once more for the signature.
fn encoded(path: &str) -> String {
    let mut encoded = String::new();
    percent_encode(path, true, &mut encoded);
    encoded
}

/// The region in the host's name: `bedrock-runtime.REGION.…`, also behind a private endpoint's own name; else the one that the base path's query
/// gives.
fn region<'a>(call: &Call<'a>) -> Option<&'a str> {
    let mut labels = call.host.split(['.', ':']);
    let named = labels.find(|label| matches!(*label, "bedrock-runtime" | "bedrock-runtime-fips")).and_then(|_| labels.next());
    let told = call.base_query().split('&').find_map(|pair| pair.strip_prefix("region="));
    let valid = |region: &&str| !region.is_empty() && region.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    told.or(named).filter(valid)
}

#[cfg(test)]
mod tests {
    use lethe_policy::{ApiRules, Dialect};
    use lethe_types::Api;

    use super::{encoded, region};
    use crate::call::{Call, Credential};

    #[test]
    fn the_model_is_encoded_twice() {
        assert_eq!(encoded("/model/anthropic.claude%3A0/converse"), "/model/anthropic.claude%253A0/converse");
    }

    #[test]
    fn the_region_is_in_the_hosts_name() {
        let rules = ApiRules::plain(Api::Converse);
        let of = |host, base_path| {
            let call = Call {
                dialect: Dialect::Bedrock,
                api: Api::Converse,
                rules: &rules,
                model: "m",
                stream: false,
                batch: false,
                host,
                base_path,
                credential: Credential::None,
                now: 0,
                beta: &[],
                version: None,
                body: &[],
            };
            region(&call)
        };
        for (host, base_path, expected) in [
            ("bedrock-runtime.eu-central-1.amazonaws.com", "", Some("eu-central-1")),
            ("bedrock-runtime-fips.us-gov-west-1.amazonaws.com", "", Some("us-gov-west-1")),
            ("bedrock-runtime.cn-north-1.amazonaws.com.cn", "", Some("cn-north-1")),
            ("vpce-0a-1b.bedrock-runtime.us-east-1.vpce.amazonaws.com", "", Some("us-east-1")),
            ("127.0.0.1:8080", "/x?region=us-west-2", Some("us-west-2")),
            ("127.0.0.1:8080", "", None),
            ("bedrock-runtime", "", None),
            ("a", "?region=us/west", None),
        ] {
            assert_eq!(of(host, base_path), expected, "{host}");
        }
    }
}
