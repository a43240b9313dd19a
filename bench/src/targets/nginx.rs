//! The yardstick: nginx with `proxy_pass`, tuned as one would for this job (bench/README.md says why each line is there).

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::{Door, Site, Target, free_ports};
use crate::ask::Ask;
use crate::install;
use crate::interrupt;
use crate::problem::{Problem, While as _};
use crate::process::{Running, children};
use crate::rows::Row;
use crate::tls;

const START_LIMIT: Duration = Duration::from_secs(10);
const PLACES: [&str; 3] = ["/usr/sbin/nginx", "/usr/local/sbin/nginx", "/usr/local/nginx/sbin/nginx"];

/// Four servers, each as good as nginx is at its job: JSON answers are buffered; streams cannot be, for then an event waits until a
/// buffer is full; and one passes request bodies on as they come.
struct Ports {
    json: SocketAddr,
    /// Streams that come event by event: a buffer of the usual size.
    events: SocketAddr,
    /// Streams that come at once: a buffer that holds one.
    stream: SocketAddr,
    unbuffered: SocketAddr,
}

/// A running nginx; ends when dropped.
pub(crate) struct Nginx {
    running: Running,
    ports: Ports,
    // After `running`: the folder goes when the process has gone.
    _folder: tempfile::TempDir,
}

impl Nginx {
    pub(crate) fn start(site: &Site<'_>) -> Result<Self, Problem> {
        let executable = match executable() {
            Some(executable) => executable,
            None => {
                install::system_package("nginx")?;
                executable().ok_or_else(|| Problem::new("nginx was installed, but not where it is looked for"))?
            }
        };
        let folder = super::folder()?;
        let [json, events, stream, unbuffered] = free_ports()?;
        let ports = Ports { json, events, stream, unbuffered };
        let config = folder.path().join("nginx.conf");
        fs::write(&config, configuration(folder.path(), site, &ports)).doing("write nginx's configuration")?;
        let errors = folder.path().join("error.log");
        let mut command = Command::new(executable);
        command.arg("-c").arg(&config).arg("-p").arg(folder.path()).arg("-e").arg(&errors);
        let running =
            Running::start(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null())).doing("start nginx")?;
        let mut nginx = Self { running, ports, _folder: folder };
        while TcpStream::connect(unbuffered).is_err() || children(nginx.running.pid()).len() < site.workers {
            interrupt::check()?;
            if nginx.running.ended().is_some() || nginx.running.since().elapsed() > START_LIMIT {
                let said = fs::read_to_string(&errors).unwrap_or_default();
                return Err(Problem::new(format!("nginx did not start: {said}")));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(nginx)
    }
}

impl Target for Nginx {
    fn doors(&self, row: &Row) -> Vec<Door> {
        let door = |label: &str, address| Door {
            label: label.to_owned(),
            address,
            keys: Vec::new(),
            headers: String::new(),
            rewritten: false,
        };
        match row.ask {
            Ask::Chat => vec![door("nginx", self.ports.json)],
            Ask::Paced(_) => vec![door("nginx", self.ports.events)],
            Ask::Stream | Ask::Translated => vec![door("nginx", self.ports.stream)],
            Ask::Image(_) => vec![
                door("nginx, request buffered in memory", self.ports.json),
                door("nginx, request not buffered", self.ports.unbuffered),
            ],
        }
    }

    fn processes(&self) -> Vec<(String, u32)> {
        children(self.running.pid()).into_iter().map(|pid| ("nginx worker".to_owned(), pid)).collect()
    }

    fn since(&self) -> Instant {
        self.running.since()
    }
}

/// `nginx -v`, for the report.
pub(crate) fn version() -> Option<String> {
    let output = Command::new(executable()?).arg("-v").output().ok()?;
    let text = String::from_utf8_lossy(&output.stderr);
    Some(text.trim().rsplit_once(' ')?.1.to_owned())
}

fn executable() -> Option<&'static str> {
    PLACES.into_iter().find(|place| Path::new(place).is_file())
}

fn configuration(folder: &Path, site: &Site<'_>, ports: &Ports) -> String {
    let (folder, workers, upstream) = (folder.display(), site.workers, site.upstream());
    let listen_tls = if site.legs.inward {
        format!(
            "    ssl_certificate {};\n    ssl_certificate_key {};\n    ssl_protocols TLSv1.3;\n    \
             ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256;\n    ssl_ecdh_curve X25519;\n    ssl_session_cache shared:tls:10m;\n",
            site.pki.chain.display(),
            site.pki.key.display()
        )
    } else {
        String::new()
    };
    let (scheme, pass_tls) = if site.legs.outward {
        let checked = format!(
            "      proxy_ssl_session_reuse on;\n      proxy_ssl_protocols TLSv1.3;\n      \
             proxy_ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256;\n      proxy_ssl_server_name on;\n      proxy_ssl_name {};\n      \
             proxy_ssl_verify on;\n      proxy_ssl_trusted_certificate {};\n",
            tls::NAME,
            site.pki.authority.display()
        );
        ("https", checked)
    } else {
        ("http", String::new())
    };
    let ssl = if site.legs.inward { " ssl" } else { "" };
    let server = |address: SocketAddr, more: &str| {
        format!(
            "  server {{\n    listen {address}{ssl} reuseport backlog=4096;\n{listen_tls}    location / {{\n      \
             proxy_pass {scheme}://mock;\n      proxy_http_version 1.1;\n      proxy_set_header Connection \"\";\n{pass_tls}      \
             {more}\n    }}\n  }}\n"
        )
    };
    format!(
        "daemon off;\nworker_processes {workers};\nworker_rlimit_nofile 65536;\npid {folder}/nginx.pid;\n\
         error_log {folder}/error.log crit;\nevents {{\n  worker_connections 16384;\n  multi_accept on;\n}}\nhttp {{\n  access_log off;\n  \
         server_tokens off;\n  tcp_nodelay on;\n  keepalive_requests 100000000;\n  keepalive_timeout 3600s;\n  \
         client_max_body_size 64m;\n  client_body_buffer_size 16m;\n  client_body_temp_path {folder}/body;\n  \
         proxy_temp_path {folder}/proxy;\n  fastcgi_temp_path {folder}/fastcgi;\n  uwsgi_temp_path {folder}/uwsgi;\n  \
         scgi_temp_path {folder}/scgi;\n  \
         upstream mock {{\n    server {upstream};\n    keepalive 1024;\n    keepalive_requests 100000000;\n    keepalive_timeout 3600s;\n  }}\n\
         {}{}{}{}}}\n",
        server(ports.json, "proxy_buffering on;"),
        server(ports.events, "proxy_buffering off;"),
        server(
            ports.stream,
            "proxy_buffering off;\n      proxy_buffer_size 32k;\n      proxy_buffers 8 32k;\n      proxy_busy_buffers_size 64k;"
        ),
        server(ports.unbuffered, "proxy_request_buffering off;")
    )
}
