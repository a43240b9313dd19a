//! A server that gives credentials out as Google, Microsoft Entra and AWS do, and checks who asks as they do:
//! <https://developers.google.com/identity/protocols/oauth2/service-account>,
//! <https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow>,
//! <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html>.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use data_encoding::{BASE64, BASE64URL_NOPAD};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};

use crate::provider::{Seen, sigv4};

/// What the client of Microsoft Entra shows.
pub const CLIENT_SECRET: &str = "entra~client-secret-5Q8W";
/// What Google's user has given.
pub const REFRESH_TOKEN: &str = "1//refresh-token-7T2L";

struct State {
    /// A token's life.
    life: Duration,
    /// Everybody is refused.
    refuses: bool,
    /// What was given out, the newest last.
    given: Vec<String>,
    /// How often somebody was refused.
    refused: usize,
}

/// A running token server.
pub struct Tokens {
    pub address: SocketAddr,
    key: Arc<KeyPair>,
    state: Arc<Mutex<State>>,
}

impl Tokens {
    /// Starts on a free port of the loopback. What it gives out lives as long as `life`.
    #[must_use]
    pub fn start(tls: Option<Arc<ServerConfig>>, life: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let key = Arc::new(KeyPair::generate(KeySize::Rsa2048).expect("a key"));
        let state = Arc::new(Mutex::new(State { life, refuses: false, given: Vec::new(), refused: 0 }));
        let shared = (Arc::clone(&key), Arc::clone(&state));
        thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                let (tls, (key, state)) = (tls.clone(), shared.clone());
                thread::spawn(move || match tls {
                    None => serve(socket, &key, &state),
                    Some(config) => match ServerConnection::new(config) {
                        Ok(connection) => serve(StreamOwned::new(connection, socket), &key, &state),
                        Err(_) => Ok(()),
                    },
                });
            }
        });
        Self { address, key, state }
    }

    /// Refuses everybody from now on, or nobody any more.
    pub fn refuse(&self, refuses: bool) {
        self.lock().refuses = refuses;
    }

    /// What was given out, the newest last.
    #[must_use]
    pub fn given(&self) -> Vec<String> {
        self.lock().given.clone()
    }

    /// How often somebody was refused.
    #[must_use]
    pub fn refused(&self) -> usize {
        self.lock().refused
    }

    /// A key file of Google's for a service account of this server.
    #[must_use]
    pub fn service_account(&self, scheme: &str) -> String {
        let der: Pkcs8V1Der<'_> = self.key.as_der().expect("a key");
        let lines: Vec<String> =
            BASE64.encode(der.as_ref()).as_bytes().chunks(64).map(|line| String::from_utf8_lossy(line).into_owned()).collect();
        let key = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", lines.join("\n"));
        json!({
            "type": "service_account", "project_id": "my-project", "private_key_id": "k1", "private_key": key,
            "client_email": "lethe@my-project.iam.gserviceaccount.com", "client_id": "1", "auth_uri": "https://unused.example",
            "token_uri": self.url(scheme, "/token"), "universe_domain": "googleapis.com",
        })
        .to_string()
    }

    /// What `gcloud auth application-default login` leaves, for this server.
    #[must_use]
    pub fn authorized_user(&self, scheme: &str) -> String {
        json!({
            "type": "authorized_user", "client_id": "user-client", "client_secret": CLIENT_SECRET, "refresh_token": REFRESH_TOKEN,
            "token_uri": self.url(scheme, "/token"),
        })
        .to_string()
    }

    /// The address with this path.
    #[must_use]
    pub fn url(&self, scheme: &str, path: &str) -> String {
        format!("{scheme}://localhost:{}{path}", self.address.port())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("state")
    }
}

fn serve<Io: Read + Write>(io: Io, key: &KeyPair, state: &Mutex<State>) -> io::Result<()> {
    let mut reader = BufReader::new(io);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head)? == 0 {
            return Ok(());
        }
    }
    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut seen = Seen { path, head, body: Value::Null, raw: Vec::new() };
    let length = seen.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    seen.raw = vec![0; length];
    reader.read_exact(&mut seen.raw)?;
    let (status, kind, body) = answer(&seen, key, &mut state.lock().expect("state"));
    let reason = if status == 200 { "OK" } else { "No" };
    let answer = format!(
        "HTTP/1.1 {status} {reason}\r\ncontent-type: {kind}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    let io = reader.get_mut();
    io.write_all(answer.as_bytes())?;
    io.flush()
}

fn answer(seen: &Seen, key: &KeyPair, state: &mut State) -> (u16, &'static str, String) {
    let form: BTreeMap<String, String> = String::from_utf8_lossy(&seen.raw)
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (decoded(name), decoded(value)))
        .collect();
    let of = |name: &str| form.get(name).map_or("", String::as_str);
    let aws = seen.route() == "/";
    let who = match (seen.method(), seen.route()) {
        ("POST", "/token") => google(&of, key),
        ("POST", "/tenant-1/oauth2/v2.0/token") => entra(&of),
        ("POST", "/") => sts(&of, seen),
        _ => Err("nothing here"),
    };
    let form_type = seen.header("content-type") == Some("application/x-www-form-urlencoded");
    let who = who.and(if form_type { Ok(()) } else { Err("another content type") });
    let who = if state.refuses { Err("the script says so") } else { who };
    if let Err(why) = who {
        state.refused += 1;
        if aws {
            let error = format!("<Error><Type>Sender</Type><Code>AccessDenied</Code><Message>{why}</Message></Error>");
            return (403, "text/xml", format!("<ErrorResponse>{error}</ErrorResponse>"));
        }
        let error = json!({ "error": "invalid_grant", "error_description": why });
        return (400, "application/json", error.to_string());
    }
    let token = format!("issued-{}-{}", state.given.len() + 1, seen.raw.len());
    state.given.push(token.clone());
    if aws {
        let until = SystemTime::now() + state.life;
        let action = of("Action");
        let credentials = format!(
            "<Credentials><AccessKeyId>{}</AccessKeyId><SecretAccessKey>{}</SecretAccessKey><SessionToken>{token}</SessionToken>\
             <Expiration>{}</Expiration></Credentials>",
            sigv4::ACCESS_KEY_ID,
            sigv4::SECRET_ACCESS_KEY,
            jiff::Timestamp::try_from(until).expect("a time").strftime("%Y-%m-%dT%H:%M:%SZ")
        );
        return (200, "text/xml", format!("<{action}Response><{action}Result>{credentials}</{action}Result></{action}Response>"));
    }
    let token = json!({ "access_token": token, "expires_in": state.life.as_secs(), "token_type": "Bearer" });
    (200, "application/json", token.to_string())
}

fn google<'a>(of: &impl Fn(&str) -> &'a str, key: &KeyPair) -> Result<(), &'static str> {
    match of("grant_type") {
        "refresh_token" => {
            let known =
                (of("client_id"), of("client_secret"), of("refresh_token")) == ("user-client", CLIENT_SECRET, REFRESH_TOKEN);
            if known { Ok(()) } else { Err("another user") }
        }
        "urn:ietf:params:oauth:grant-type:jwt-bearer" => {
            let (signed, signature) = of("assertion").rsplit_once('.').ok_or("no assertion")?;
            let signature = BASE64URL_NOPAD.decode(signature.as_bytes()).map_err(|_| "no base64url")?;
            let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key.public_key().as_ref());
            public.verify(signed.as_bytes(), &signature).map_err(|_| "another key")?;
            let claims = signed.split_once('.').and_then(|(_, claims)| BASE64URL_NOPAD.decode(claims.as_bytes()).ok());
            let claims: Value = serde_json::from_slice(&claims.ok_or("no claims")?).map_err(|_| "no claims")?;
            let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_secs();
            let lives = claims["iat"].as_u64().is_some_and(|issued| issued <= now + 5)
                && claims["exp"].as_u64().is_some_and(|end| end > now && end <= now + 3605);
            let good = lives
                && claims["iss"] == "lethe@my-project.iam.gserviceaccount.com"
                && claims["scope"] == "https://www.googleapis.com/auth/cloud-platform"
                && claims["aud"].as_str().is_some_and(|audience| audience.ends_with("/token"));
            if good { Ok(()) } else { Err("other claims") }
        }
        _ => Err("unsupported_grant_type"),
    }
}

fn entra<'a>(of: &impl Fn(&str) -> &'a str) -> Result<(), &'static str> {
    let assertion = of("client_assertion_type") == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
        && of("client_assertion").starts_with("federated");
    let who = (of("client_secret") == CLIENT_SECRET) != assertion;
    let what = (of("grant_type"), of("client_id"), of("scope"))
        == ("client_credentials", "app-1", "https://cognitiveservices.azure.com/.default");
    if who && what { Ok(()) } else { Err("AADSTS7000215: Invalid client secret provided.") }
}

fn sts<'a>(of: &impl Fn(&str) -> &'a str, seen: &Seen) -> Result<(), &'static str> {
    if (of("Version"), of("RoleArn"), of("RoleSessionName")) != ("2011-06-15", "arn:aws:iam::123456789012:role/lethe", "lethe") {
        return Err("another role");
    }
    match of("Action") {
        "AssumeRole" => sigv4::verify(seen, "sts"),
        "AssumeRoleWithWebIdentity" if of("WebIdentityToken").starts_with("web-identity") => Ok(()),
        _ => Err("another action"),
    }
}

fn decoded(text: &str) -> String {
    let mut out = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        match (first, tail.get(..2).and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok())) {
            (b'%', Some(byte)) => {
                out.push(byte);
                rest = &tail[2..];
            }
            _ => {
                out.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8(out).unwrap_or_default()
}
