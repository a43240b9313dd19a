//! Signed statements that anyone can check with nothing but this crate, or with any Ed25519 library.
//!
//! A statement is a JSON file with the payload in the clear, so that people and `jq` can read it:
//!
//! ```json
//! {"payload_type":"application/vnd.lethe.audit+json","payload":{…},"signatures":[{"keyid":"ed25519:…","public_key":"…","sig":"…"}]}
//! ```
//!
//! What is signed is the *pre-authentication encoding* of the DSSE protocol (v1.0.0), over the payload's bytes exactly as they stand in the file:
//! nothing needs to be brought into a canonical form, and a statement of one type cannot be passed off as another's. A file that was
//! formatted anew has to be signed anew.

mod envelope;
mod key;

pub use envelope::{Refused, Statement, sign, verify};
pub use key::{KeyId, NoKey, PublicKey, SigningKey};
