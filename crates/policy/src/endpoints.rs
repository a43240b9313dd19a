//! The list of destinations that a dialer may open, signed by control.
//!
//! The dialer's authority does not come from the gateway that it guards: it accepts only lists with control's signature and
//! a rising version, and dials by number, never by a name from a request.

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, UnparsedPublicKey};
use serde::{Deserialize, Serialize};

/// Number of control's own link address in every list.
pub const CONTROL_ENDPOINT: u32 = 0;

/// Says what the signature is for, so that it cannot be mistaken for one over something else.
const DOMAIN: &[u8] = b"lethe-endpoints/1\0";
const SIGNATURE_BYTES: usize = 64;

/// One destination.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Number that the gateway asks for.
    pub id: u32,
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Private, loopback and link-local addresses are allowed.
    pub allow_private: bool,
}

/// Every destination that may be opened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointList {
    /// Rises with each change.
    pub version: u64,
    /// The destinations.
    pub endpoints: Vec<Endpoint>,
}

/// Why a list was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndpointsError {
    /// Signed, but not a list of this version's form.
    Malformed,
    /// Not signed by control.
    Signature,
}

/// A list with control's signature in front.
pub struct SignedEndpoints;

impl SignedEndpoints {
    /// Signs `list`: 64 bytes of Ed25519 signature, then the encoded list. `None` if the list cannot be encoded.
    #[must_use]
    pub fn sign(list: &EndpointList, key: &Ed25519KeyPair) -> Option<Vec<u8>> {
        let body = postcard::to_allocvec(list).ok()?;
        let signature = key.sign(&[DOMAIN, &body].concat());
        Some([signature.as_ref(), &body].concat())
    }

    /// Checks the signature of `bytes` against control's public key and decodes the list.
    ///
    /// # Errors
    /// [`EndpointsError::Signature`] unless control signed exactly these bytes; [`EndpointsError::Malformed`] if they are no
    /// list all the same.
    pub fn verify(bytes: &[u8], verify_key: &[u8; 32]) -> Result<EndpointList, EndpointsError> {
        let (signature, body) = bytes.split_at_checked(SIGNATURE_BYTES).ok_or(EndpointsError::Signature)?;
        UnparsedPublicKey::new(&ED25519, verify_key)
            .verify(&[DOMAIN, body].concat(), signature)
            .map_err(|_| EndpointsError::Signature)?;
        match postcard::take_from_bytes(body) {
            Ok((list, [])) => Ok(list),
            _ => Err(EndpointsError::Malformed),
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed test")]

    use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};

    use super::{Endpoint, EndpointList, EndpointsError, SignedEndpoints};

    #[test]
    fn only_an_untouched_list_with_the_right_signature_is_accepted() {
        let key = Ed25519KeyPair::generate().unwrap();
        let public: [u8; 32] = key.public_key().as_ref().try_into().unwrap();
        let endpoint = Endpoint { id: 7, host: "api.example.com".into(), port: 443, allow_private: false };
        let list = EndpointList { version: 3, endpoints: vec![endpoint] };
        let signed = SignedEndpoints::sign(&list, &key).unwrap();
        assert_eq!(SignedEndpoints::verify(&signed, &public).as_ref(), Ok(&list));

        for position in 0..signed.len() {
            let mut touched = signed.clone();
            touched[position] ^= 1;
            assert_eq!(SignedEndpoints::verify(&touched, &public), Err(EndpointsError::Signature));
        }
        let other = Ed25519KeyPair::generate().unwrap();
        let foreign = SignedEndpoints::sign(&list, &other).unwrap();
        assert_eq!(SignedEndpoints::verify(&foreign, &public), Err(EndpointsError::Signature));
        assert_eq!(SignedEndpoints::verify(b"short", &public), Err(EndpointsError::Signature));
    }
}
