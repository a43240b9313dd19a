//! Which provider serves a request, which is asked when that one fails, and which is left alone: every request is counted where it arrives.

mod caches;
mod change;
mod choice;
mod counted;
mod fallback;
mod limits;
mod wishes;

use std::fs;
use std::net::SocketAddr;

use lethe_testkit::client::Answer;
use lethe_testkit::lethe::{Lethe, PROVIDER_KEY, Setup, provider_table};
use lethe_testkit::provider::Provider;
use lethe_testkit::wire::{COMPLETION, Wire, answer};

/// A configuration in the making, in the clear on both legs.
struct Scene {
    setup: Setup,
    text: String,
}

impl Scene {
    /// With these lines in `[gateway]`.
    fn new(gateway: &str) -> Self {
        let setup = Setup::engine();
        fs::write(setup.folder().join("provider-key"), PROVIDER_KEY).unwrap();
        Self { setup, text: format!("[gateway]\nlisten = \"127.0.0.1:0\"\n{gateway}\n") }
    }

    /// A provider with OpenAI's API, with these further lines.
    fn provider(mut self, id: &str, address: SocketAddr, more: &str) -> Self {
        let key = self.setup.folder().join("provider-key").display().to_string();
        let table = provider_table(id, &format!("http://{address}/v1"), "", &key).replace("ca = \"\"\n", "");
        let own: Vec<&str> = more.lines().filter_map(|line| line.split_once(" =")).map(|(name, _)| name).collect();
        for line in table.lines() {
            if line == "[provider.terms]" {
                self.text += &format!("{more}\n");
            }
            if !own.iter().any(|name| line.split_once(" =").is_some_and(|(default, _)| default == *name)) {
                self.text += &format!("{line}\n");
            }
        }
        self
    }

    /// A chat model with these routes, in the words of the configuration.
    fn model(mut self, id: &str, strategy: &str, routes: &[String]) -> Self {
        let routes = routes.join(", ");
        self.text +=
            &format!("[[model]]\nid = \"{id}\"\noperations = [\"chat\"]\nstrategy = \"{strategy}\"\nroutes = [{routes}]\n\n");
        self
    }

    fn start(mut self) -> Lethe {
        self.setup.config = Some(self.text);
        self.setup.start()
    }
}

fn route(provider: &str, model: &str) -> String {
    format!("{{ provider = \"{provider}\", model = \"{model}\" }}")
}

/// Status, provider and attempts, as the answer's head says.
fn told(answer: &Answer) -> (u16, &str, &str) {
    let header = |name: &str| answer.headers.get(name).map_or("", String::as_str);
    (answer.status, header("lethe-provider"), header("lethe-attempts"))
}

/// How many requests for `model` have arrived.
fn asked(provider: &Provider, model: &str) -> usize {
    provider.seen().iter().filter(|seen| seen.body["model"] == model).count()
}

/// A server that answers every request well.
fn good_wire() -> Wire {
    Wire::start(lethe_testkit::wire::Say::Bytes(answer(COMPLETION)))
}
