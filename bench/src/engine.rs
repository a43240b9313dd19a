//! How fast the embedded engine is on one processor, asked through `lethe up` as a client would.

use std::fmt::Write as _;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_setaffinity};
use serde::Serialize;
use serde_json::Value;

use crate::answer::Answer;
use crate::load::as_f64;
use crate::problem::{Problem, While as _};
use crate::process::cpu_time;
use crate::targets::Lethe;

/// How many bytes had arrived, and when.
type Arrivals = Vec<(usize, Instant)>;

/// Tokens a second that an answer has to come at, on one processor.
const TARGET: f64 = 20.0;
/// No answer takes longer than this.
const ANSWER_LIMIT: Duration = Duration::from_secs(300);
const READ_BYTES: usize = 16 * 1024;

/// Medians over the rounds.
#[derive(Serialize)]
pub(crate) struct EngineFigures {
    model: String,
    processors: usize,
    rounds: usize,
    prompt_tokens: f64,
    answer_tokens: f64,
    prompt_per_second: f64,
    decode_per_second: f64,
    decode_spread: (f64, f64),
    /// Processor time of the engine per token of the answer, prompt included, in milliseconds.
    cpu_ms_per_token: f64,
}

impl EngineFigures {
    pub(crate) fn meets_target(&self) -> bool {
        self.decode_per_second >= TARGET
    }

    pub(crate) fn write(&self, page: &mut String) -> std::fmt::Result {
        let (least, most) = self.decode_spread;
        let verdict = if self.meets_target() { "met" } else { "**missed**" };
        writeln!(page, "\n## Embedded engine, {} processor(s), one answer at a time\n", self.processors)?;
        writeln!(page, "| model | prompt tokens/s | answer tokens/s | CPU ms/token |\n|---|---|---|---|")?;
        writeln!(
            page,
            "| {} | {:.1} ({:.0} tokens) | {:.1} ({least:.1}–{most:.1}; {:.0} tokens) | {:.1} |",
            self.model,
            self.prompt_per_second,
            self.prompt_tokens,
            self.decode_per_second,
            self.answer_tokens,
            self.cpu_ms_per_token
        )?;
        writeln!(page, "\nTarget of {TARGET} answer tokens/s: {verdict}. {} rounds.", self.rounds)
    }
}

struct Round {
    prompt_tokens: f64,
    answer_tokens: f64,
    prompt_per_second: f64,
    decode_per_second: f64,
    cpu_ms_per_token: f64,
}

/// Starts Lethe with the model at `model`, keeps its engine on `processors` processors, and asks it `rounds` times.
pub(crate) fn measure(
    model: &Path,
    processors: usize,
    rounds: usize,
    tokens: u32,
    mut progress: impl FnMut(&str),
) -> Result<EngineFigures, Problem> {
    let lethe = Lethe::engine(model, processors)?;
    let engine = *lethe.pids("engine").first().ok_or_else(|| Problem::new("ready.json names no engine"))?;
    pin(engine, processors)?;
    let mut client = Client::connect(lethe.api(), lethe.key())?;
    let id = client.model()?;
    // The first answer touches every page of the model.
    client.ask(&id, "warm up", 4)?;
    let mut done = Vec::new();
    for round in 1..=rounds {
        progress(&format!("round {round} of {rounds}: {id}"));
        // Each prompt differs from its start on, so that no prefix of it can have been kept.
        let prompt = format!(
            "Number {round}. {} Tell a long story about this river.",
            "A river runs under the hills and forgets. ".repeat(24)
        );
        let before = cpu_time(engine).unwrap_or_default();
        let asked = client.ask(&id, &prompt, tokens)?;
        let used = cpu_time(engine).unwrap_or_default().saturating_sub(before);
        done.push(asked.figures(used)?);
    }
    let median = |figure: fn(&Round) -> f64| {
        let mut rising: Vec<f64> = done.iter().map(figure).collect();
        rising.sort_by(f64::total_cmp);
        rising.get(rising.len() / 2).copied().unwrap_or_default()
    };
    let rates = done.iter().map(|round| round.decode_per_second);
    Ok(EngineFigures {
        model: id,
        processors,
        rounds,
        prompt_tokens: median(|round| round.prompt_tokens),
        answer_tokens: median(|round| round.answer_tokens),
        prompt_per_second: median(|round| round.prompt_per_second),
        decode_per_second: median(|round| round.decode_per_second),
        decode_spread: (rates.clone().fold(f64::INFINITY, f64::min), rates.fold(0.0, f64::max)),
        cpu_ms_per_token: median(|round| round.cpu_ms_per_token),
    })
}

/// Keeps every thread of a process on the first processors, as `taskset -a -p` does.
fn pin(pid: u32, processors: usize) -> Result<(), Problem> {
    let mut set = CpuSet::new();
    (0..processors).for_each(|processor| set.set(processor));
    for task in fs::read_dir(format!("/proc/{pid}/task")).doing("list the engine's threads")? {
        let thread = task?.file_name().to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw);
        sched_setaffinity(thread, &set).doing("keep the engine on one processor")?;
    }
    Ok(())
}

/// An answer with its times.
struct Asked {
    start: Instant,
    /// When the first delta came, and the last.
    first: Instant,
    last: Instant,
    prompt_tokens: u32,
    answer_tokens: u32,
}

impl Asked {
    fn figures(&self, cpu: Duration) -> Result<Round, Problem> {
        if self.answer_tokens < 8 {
            return Err(Problem::new(format!("the answer ended after {} tokens: too few to measure", self.answer_tokens)));
        }
        let (prompt, answer) = (f64::from(self.prompt_tokens), f64::from(self.answer_tokens));
        Ok(Round {
            prompt_tokens: prompt,
            answer_tokens: answer,
            prompt_per_second: prompt / (self.first - self.start).as_secs_f64(),
            // The first token belongs to the prompt's time.
            decode_per_second: (answer - 1.0) / (self.last - self.first).as_secs_f64(),
            cpu_ms_per_token: cpu.as_secs_f64() * 1000.0 / answer,
        })
    }
}

struct Client {
    socket: TcpStream,
    key: String,
}

impl Client {
    fn connect(address: SocketAddr, key: &str) -> Result<Self, Problem> {
        let socket = TcpStream::connect(address).doing("connect to Lethe")?;
        socket.set_read_timeout(Some(ANSWER_LIMIT))?;
        Ok(Self { socket, key: key.to_owned() })
    }

    /// The one model there is.
    fn model(&mut self) -> Result<String, Problem> {
        let (answer, _) = self.exchange("GET /v1/models", "")?;
        let list: Value = serde_json::from_slice(&answer).doing("read the list of models")?;
        let id = list["data"][0]["id"].as_str().ok_or_else(|| Problem::new("the list of models is empty"))?;
        Ok(id.to_owned())
    }

    fn ask(&mut self, model: &str, prompt: &str, tokens: u32) -> Result<Asked, Problem> {
        let body = serde_json::json!({
            "model": model,
            "messages": [{"role": "user", "content": prompt}],
            "max_tokens": tokens,
            "temperature": 0,
            "stream": true,
            "stream_options": {"include_usage": true},
        });
        let start = Instant::now();
        let (answer, arrivals) = self.exchange("POST /v1/chat/completions", &body.to_string())?;
        let text = String::from_utf8_lossy(&answer);
        let mut deltas = Vec::new();
        let mut usage = Value::Null;
        let mut at = 0;
        for event in text.split_inclusive("\n\n") {
            at += event.len();
            let Some(data) = event.trim_end().strip_prefix("data: ") else { continue };
            let Ok(data) = serde_json::from_str::<Value>(data) else { continue };
            if data["choices"][0]["delta"]["content"].as_str().is_some_and(|content| !content.is_empty()) {
                // The piece that brought this event's end.
                deltas.extend(arrivals.iter().find(|(end, _)| *end >= at).map(|(_, when)| *when));
            }
            if data["usage"].is_object() {
                usage = data["usage"].clone();
            }
        }
        let count = |name: &str| usage[name].as_u64().and_then(|count| u32::try_from(count).ok());
        let (Some(prompt_tokens), Some(answer_tokens)) = (count("prompt_tokens"), count("completion_tokens")) else {
            return Err(Problem::new("the stream brought no usage"));
        };
        let (Some(first), Some(last)) = (deltas.first(), deltas.last()) else {
            return Err(Problem::new("the stream brought no text"));
        };
        Ok(Asked { start, first: *first, last: *last, prompt_tokens, answer_tokens })
    }

    /// The body of an answer, and how much of it was there when.
    fn exchange(&mut self, what: &str, body: &str) -> Result<(Vec<u8>, Arrivals), Problem> {
        let mut request = String::new();
        let _ = write!(request, "{what} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\n", self.key);
        let _ = write!(request, "content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        self.socket.write_all(request.as_bytes())?;
        let (mut answer, mut arrivals) = (Answer::new(), Vec::new());
        let mut piece = vec![0; READ_BYTES];
        loop {
            let read = self.socket.read(&mut piece).doing("wait for an answer")?;
            if read == 0 {
                return Err(Problem::new("the connection was closed before the answer ended"));
            }
            let now = Instant::now();
            answer.inbuf.extend_from_slice(&piece[..read]);
            let done = answer.take().map_err(|_| Problem::new("the answer is not HTTP/1.1 with keep-alive"))?;
            arrivals.push((answer.body.len(), now));
            if done {
                break;
            }
        }
        if answer.status == 200 {
            Ok((answer.body, arrivals))
        } else {
            let (status, bytes) = (answer.status, as_f64(answer.body.len()));
            Err(Problem::new(format!("{what}: status {status}, {bytes} bytes: {}", String::from_utf8_lossy(&answer.body))))
        }
    }
}
