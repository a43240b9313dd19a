//! What differs between what runs and what a file would do.

use serde::Serialize;

use super::Description;

/// What a reload would change. Credentials and certificates are not compared.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Changes {
    /// By the operator's own names.
    pub(crate) reloaded: Vec<String>,
    /// What a reload refuses to change: it is part of how the processes were started.
    pub(crate) restart: Vec<String>,
}

impl Changes {
    /// From `before` to `after`.
    pub(crate) fn between(before: &Description, after: &Description) -> Self {
        let mut reloaded = Vec::new();
        differences("provider", &before.providers, &after.providers, |provider| &provider.id, &mut reloaded);
        differences("model", &before.models, &after.models, |model| &model.id, &mut reloaded);
        let (a, b) = (&before.gateway, &after.gateway);
        let fixed = [
            ("[gateway] listen", a.listen.clone(), b.listen.clone()),
            ("[gateway] tls", a.tls.clone(), b.tls.clone()),
            ("[gateway] probes", a.probes.clone(), b.probes.clone()),
            ("[control] console", a.console.clone(), b.console.clone()),
            ("[engine] enabled", a.engine.to_string(), b.engine.to_string()),
        ];
        let restart = fixed
            .into_iter()
            .filter(|(name, running, written)| running != written && !a.by_command_line.iter().any(|said| said == name))
            .map(|(name, a, b)| format!("{name}: {a} runs, and the file says {b}"))
            .collect();
        Self { reloaded, restart }
    }

    /// Nothing differs.
    pub(crate) fn is_empty(&self) -> bool {
        self.reloaded.is_empty() && self.restart.is_empty()
    }
}

fn differences<T: PartialEq>(kind: &str, before: &[T], after: &[T], id: impl Fn(&T) -> &String, said: &mut Vec<String>) {
    for old in before.iter().filter(|old| !after.iter().any(|new| id(new) == id(old))) {
        said.push(format!("{kind} {}: removed", id(old)));
    }
    for new in after {
        match before.iter().find(|old| id(old) == id(new)) {
            None => said.push(format!("{kind} {}: added", id(new))),
            Some(old) if old != new => said.push(format!("{kind} {}: changed", id(new))),
            Some(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use std::{ffi::OsString, path::Path};

    use super::{Changes, Description};

    fn described(text: &str) -> Description {
        let environment = |_: &str| Some(OsString::from("sk-test"));
        Description::of(&lethe_config::parse(text, Path::new("lethe.toml"), &environment).unwrap(), 0)
    }

    #[test]
    fn differences_have_the_operators_names() {
        let provider = |id: &str, more: &str| {
            format!(
                "[[provider]]\nid = \"{id}\"\npreset = \"openai\"\napi_key = {{ env = \"KEY\" }}\n{more}[[model]]\nid = \"of-{id}\"\n\
                 operations = [\"chat\"]\nroutes = [{{ provider = \"{id}\", model = \"m\" }}]\n"
            )
        };
        let before = described(&(provider("a", "") + &provider("b", "")));
        assert!(Changes::between(&before, &before).is_empty());
        let text = format!("[gateway]\nlisten = \"127.0.0.1:9000\"\n{}{}", provider("b", "region = \"eu\"\n"), provider("c", ""));
        let changes = Changes::between(&before, &described(&text));
        assert_eq!(
            changes.reloaded,
            ["provider a: removed", "provider b: changed", "provider c: added", "model of-a: removed", "model of-c: added"]
        );
        let mut said = before.clone();
        said.gateway.by_command_line.push("[gateway] listen".to_owned());
        assert!(Changes::between(&said, &described(&text)).restart.is_empty(), "the command line holds");
        assert_eq!(changes.restart, ["[gateway] listen: 127.0.0.1:8080 runs, and the file says 127.0.0.1:9000"]);
    }
}
