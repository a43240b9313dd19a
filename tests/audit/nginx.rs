//! nginx as a plain reverse proxy: by default it writes large bodies to disk, and does not when it is told not to.

use std::fs;

use crate::{Audited, audit, free_port};

fn audited(setting: &str) -> Audited {
    let folder = tempfile::Builder::new().prefix("nginx-").tempdir_in("/var/tmp").expect("a folder");
    let (port, place) = (free_port(), folder.path().display());
    // The upstream is known to the shell only, so the shell writes that line.
    let configuration = format!(
        "daemon off; master_process off; pid {place}/pid; error_log {place}/error.log;\nevents {{}}\nhttp {{\n  access_log {place}/access.log;\n  \
         client_body_temp_path {place}/body; proxy_temp_path {place}/proxy; fastcgi_temp_path {place}/f; uwsgi_temp_path {place}/u; \
         scgi_temp_path {place}/s;\n  client_max_body_size 64m;\n  server {{ listen 127.0.0.1:{port};\n    location / {{ {setting} \
         proxy_http_version 1.1; proxy_read_timeout 3s; proxy_pass UPSTREAM; }} }}\n}}\n"
    );
    fs::write(folder.path().join("template"), configuration).expect("a file");
    let command = format!(
        "sed \"s|UPSTREAM|$LETHE_AUDIT_PROVIDER|\" {place}/template > {place}/nginx.conf && exec nginx -p {place} -c {place}/nginx.conf"
    );
    let target = format!("http://127.0.0.1:{port}");
    audit(&["--target", &target, "--spawn", &command, "--watch", &place.to_string()])
}

fn spooled(audited: &Audited) -> usize {
    let below = |finding: &&&serde_json::Value| finding["place"]["name"].as_str().is_some_and(|name| name.contains("/body/"));
    ["file", "deleted_file"].iter().map(|sink| audited.findings(sink).iter().filter(below).count()).sum()
}

#[test]
fn its_spooling_is_found() {
    let audited = audited("");
    assert_eq!(audited.code, 1, "{}", audited.shown());
    assert!(spooled(&audited) > 0, "{}", audited.shown());
}

#[test]
fn without_buffering_it_does_not_spool() {
    let audited = audited("proxy_request_buffering off; proxy_buffering off;");
    assert_eq!(spooled(&audited), 0, "{}", audited.shown());
}
