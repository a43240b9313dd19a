//! The yardstick: nginx with `proxy_pass`, tuned as one would for this job.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::Target;
use crate::problem::{Problem, While as _};
use crate::process::{Running, children};
use crate::workload::Workload;

const START_LIMIT: Duration = Duration::from_secs(10);
const PLACES: [&str; 3] = ["/usr/sbin/nginx", "/usr/local/sbin/nginx", "/usr/local/nginx/sbin/nginx"];

/// A running nginx; ends when dropped.
pub(crate) struct Nginx {
    running: Running,
    json: SocketAddr,
    stream: SocketAddr,
    // After `running`: the folder goes when the process has gone.
    _folder: tempfile::TempDir,
}

impl Nginx {
    pub(crate) fn start(upstream: SocketAddr, workers: usize) -> Result<Self, Problem> {
        let executable = executable()?;
        let folder = super::folder()?;
        let (json, stream) = two_free_ports()?;
        let config = folder.path().join("nginx.conf");
        fs::write(&config, configuration(folder.path(), upstream, workers, json, stream)).doing("write nginx's configuration")?;
        let errors = folder.path().join("error.log");
        let mut command = Command::new(executable);
        command.arg("-c").arg(&config).arg("-p").arg(folder.path()).arg("-e").arg(&errors);
        let running =
            Running::start(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null())).doing("start nginx")?;
        let mut nginx = Self { running, json, stream, _folder: folder };
        let start = Instant::now();
        while TcpStream::connect(stream).is_err() || children(nginx.running.pid()).len() < workers {
            if nginx.running.ended().is_some() || start.elapsed() > START_LIMIT {
                let said = fs::read_to_string(&errors).unwrap_or_default();
                return Err(Problem::new(format!("nginx did not start: {said}")));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(nginx)
    }
}

impl Target for Nginx {
    fn name(&self) -> &'static str {
        "nginx"
    }

    fn address(&self, workload: Workload) -> SocketAddr {
        if workload.is_stream() { self.stream } else { self.json }
    }

    fn processes(&self) -> Vec<(String, u32)> {
        children(self.running.pid()).into_iter().map(|pid| ("nginx worker".to_owned(), pid)).collect()
    }
}

/// `nginx -v`, for the report.
pub(crate) fn version() -> Option<String> {
    let output = Command::new(executable().ok()?).arg("-v").output().ok()?;
    let text = String::from_utf8_lossy(&output.stderr);
    Some(text.trim().rsplit_once(' ')?.1.to_owned())
}

fn executable() -> Result<&'static str, Problem> {
    let place = PLACES.into_iter().find(|place| Path::new(place).is_file());
    place.ok_or_else(|| Problem::new("nginx is not installed (Debian: apt-get install nginx-light)"))
}

/// Bound together, so that they differ. Free when nginx binds them unless somebody is quicker; then it says so.
fn two_free_ports() -> Result<(SocketAddr, SocketAddr), Problem> {
    let bind = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).doing("find a free port");
    let (one, two) = (bind()?, bind()?);
    Ok((one.local_addr()?, two.local_addr()?))
}

/// Two servers, each as good as nginx is at its job: answers are buffered, streams are not.
fn configuration(folder: &Path, upstream: SocketAddr, workers: usize, json: SocketAddr, stream: SocketAddr) -> String {
    let folder = folder.display();
    let server = |address: SocketAddr, buffering: &str| {
        format!(
            "  server {{\n    listen {address} reuseport;\n    location / {{\n      proxy_pass http://mock;\n      proxy_http_version 1.1;\n      \
             proxy_set_header Connection \"\";\n      proxy_buffering {buffering};\n    }}\n  }}\n"
        )
    };
    format!(
        "daemon off;\nworker_processes {workers};\npid {folder}/nginx.pid;\nerror_log {folder}/error.log crit;\n\
         events {{ worker_connections 4096; }}\nhttp {{\n  access_log off;\n  server_tokens off;\n  tcp_nodelay on;\n  \
         keepalive_requests 100000000;\n  keepalive_timeout 3600s;\n  client_body_buffer_size 64k;\n  \
         client_body_temp_path {folder}/body;\n  proxy_temp_path {folder}/proxy;\n  fastcgi_temp_path {folder}/fastcgi;\n  \
         uwsgi_temp_path {folder}/uwsgi;\n  scgi_temp_path {folder}/scgi;\n  \
         upstream mock {{\n    server {upstream};\n    keepalive 256;\n    keepalive_requests 100000000;\n    keepalive_timeout 3600s;\n  }}\n\
         {}{}}}\n",
        server(json, "on"),
        server(stream, "off")
    )
}
