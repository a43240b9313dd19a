//! What routing, metering and the refusal rules need from a request that passes as it is, and the fields that are forced in it.
//!
//! One walk over the body, whatever the format; what a format has of its own is its [`Shape`].

use std::borrow::Cow;
use std::ops::Range;

use lethe_policy::conflict::Conflict;
use lethe_policy::{ApiRules, ProviderKind};
use lethe_types::Api;

use crate::edit::Edits;
use crate::json::{Cursor, Kind, Text};
use crate::refusal::{FieldName, Refusal};
use crate::short_id::ShortId;
use crate::write;

/// A request has few top-level fields; more than this is no request.
const FIELD_LIMIT: usize = 128;

/// What one format's requests look like to who only passes them on.
pub(crate) trait Shape: Sync {
    /// Fields without which a request is none.
    fn required(&self) -> &'static [&'static str];

    /// Fields whose bytes are the prompt, for an estimate of its tokens.
    fn prompt(&self) -> &'static [&'static str];

    /// Whether `model` and `stream` stand in the body (else they are in the path).
    fn model_in_body(&self) -> bool {
        true
    }

    /// A field's name as this format's laxest server reads it; `folded` is without escapes and case.
    fn folded<'a>(&self, folded: Cow<'a, str>) -> Cow<'a, str> {
        folded
    }

    /// A field's name as the reference spells it, which is how presets list it.
    fn spelled(&self, name: String) -> String {
        name
    }

    /// What a top-level field conflicts with by being there with a value other than `null` or `false`.
    fn conflict(&self, folded: &str) -> Option<Conflict>;

    /// Looks into the value of a top-level field, which it must read to its end, and refuses what needs somebody to remember.
    ///
    /// # Errors
    /// [`Refusal::Conflict`], [`Refusal::WrongType`], and any flaw.
    fn look(&self, seen: &mut Seen, folded: &str, kind: Kind, value: &mut Cursor<'_>) -> Result<(), Refusal>;
}

/// What a shape finds inside of fields.
#[derive(Default)]
pub(crate) struct Seen {
    /// Values of `tools[].type`, or what stands for it.
    pub(crate) tools: Vec<String>,
    /// Values to be replaced before the request is passed on, if caching is off.
    pub(crate) cache_controls: Vec<Range<usize>>,
    /// A value that names the client's user: it is replaced by the pseudonym.
    pub(crate) user: Option<Range<usize>>,
    /// Values that name the model as `models/…` beside the one in the path.
    pub(crate) models: Vec<Range<usize>>,
    /// Ids of calls that Mistral would refuse, with what stands for each there.
    pub(crate) call_ids: Vec<(Range<usize>, ShortId)>,
    /// Fields of messages in which thoughts stand.
    pub(crate) thoughts: Vec<Thoughts>,
    options: Option<Options>,
    wants_usage: bool,
}

/// A field of a message in which thoughts stand.
pub(crate) struct Thoughts {
    pub(crate) name: &'static str,
    pub(crate) key: Range<usize>,
    /// The member with a comma that goes with it.
    pub(crate) member: Range<usize>,
}

/// `stream_options` of a request.
struct Options {
    span: Range<usize>,
    is_empty: bool,
    include_usage: Option<Range<usize>>,
}

struct Field {
    /// Unescaped.
    name: String,
    key: Range<usize>,
    value: Range<usize>,
}

/// What was read out of a request. Holds spans and short names; the text itself stays with the caller.
pub struct Inspected {
    /// The format.
    pub api: Api,
    /// The model that the client names; empty where it stands in the path.
    pub model: String,
    /// The client wants a stream (where that stands in the body).
    pub stream: bool,
    /// The client asked for usage in the stream.
    pub wants_usage: bool,
    /// Bytes of the prompt, for an estimate where no usage comes.
    pub prompt_bytes: usize,
    fields: Vec<Field>,
    seen: Seen,
    open_brace: usize,
    is_empty: bool,
    model_span: Range<usize>,
}

/// What is changed in a request besides its preset's rules.
pub struct Change<'a> {
    /// The provider's name of the model.
    pub model: &'a str,
    /// Who the provider is told is asking, where the client said so at all.
    pub pseudonym: &'a str,
    /// Wishes to cache are passed on.
    pub cache: bool,
}

/// Reads a request in the format `api`.
///
/// # Errors
/// [`Refusal`], which holds for every provider and node alike.
pub fn inspect(body: &[u8], api: Api) -> Result<Inspected, Refusal> {
    let shape = crate::formats::shape(api);
    let mut cursor = Cursor::new(body)?;
    let open_brace = cursor.offset();
    if cursor.kind()? != Kind::Object {
        return Err(Refusal::WrongType("body", "a JSON object"));
    }
    let mut request = Inspected {
        api,
        model: String::new(),
        stream: false,
        wants_usage: false,
        prompt_bytes: 0,
        fields: Vec::new(),
        seen: Seen::default(),
        open_brace,
        is_empty: true,
        model_span: 0..0,
    };
    let mut folded_names: Vec<Cow<'_, str>> = Vec::new();
    cursor.object(|key, key_span, value| {
        let folded = shape.folded(key.folded());
        if folded_names.contains(&folded) {
            return Err(Refusal::DuplicateField(FieldName::new(&key.unescaped())));
        }
        if folded_names.len() >= FIELD_LIMIT {
            return Err(Refusal::TooManyFields);
        }
        request.field(shape, &key, key_span, &folded, value)?;
        folded_names.push(folded);
        Ok(())
    })?;
    cursor.end()?;
    // Spelled otherwise it is another field to a server that reads names as they are.
    if request.field_called("stream_options").is_none() {
        (request.seen.options, request.seen.wants_usage) = (None, false);
    }
    request.wants_usage = request.seen.wants_usage;
    for name in shape.required() {
        // Found by its folded name, since some formats have several spellings of one field.
        if !folded_names.iter().any(|folded| folded == name) {
            return Err(Refusal::MissingField(name));
        }
    }
    if shape.model_in_body() && request.model_span.is_empty() {
        return Err(Refusal::MissingField("model"));
    }
    Ok(request)
}

/// Fields without which a request in `api` is none.
pub fn required(api: Api) -> impl Iterator<Item = &'static str> {
    let shape = crate::formats::shape(api);
    shape.model_in_body().then_some("model").into_iter().chain(shape.required().iter().copied())
}

impl Inspected {
    fn field(
        &mut self,
        shape: &dyn Shape,
        key: &Text<'_>,
        key_span: Range<usize>,
        folded: &str,
        value: &mut Cursor<'_>,
    ) -> Result<(), Refusal> {
        let kind = value.kind()?;
        let start = value.offset();
        // `null` and `false` say the same as leaving the field out.
        let mut off = kind == Kind::Null;
        match (folded, kind) {
            ("model", Kind::String) if shape.model_in_body() && key.is("model") => {
                self.model = value.string()?.unescaped();
                self.model_span = start..value.offset_of_last();
            }
            ("model", _) if shape.model_in_body() && key.is("model") => return Err(Refusal::WrongType("model", "a string")),
            ("stream", Kind::Bool) if key.is("stream") => self.stream = value.boolean()?,
            ("stream", Kind::Null) if key.is("stream") => {
                value.skip()?;
            }
            ("stream", _) if key.is("stream") => return Err(Refusal::WrongType("stream", "true or false")),
            (_, Kind::Bool) => off = !value.boolean()?,
            (_, kind) => shape.look(&mut self.seen, folded, kind, value)?,
        }
        if !off && let Some(conflict) = shape.conflict(folded) {
            return Err(Refusal::Conflict(conflict));
        }
        let span = start..value.offset_of_last();
        if shape.prompt().contains(&folded) {
            self.prompt_bytes += span.len();
        }
        self.is_empty = false;
        self.fields.push(Field { name: shape.spelled(key.unescaped()), key: key_span, value: span });
        Ok(())
    }

    fn field_called(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.name == name)
    }

    /// Checks the request against what one provider may be sent.
    ///
    /// # Errors
    /// [`Refusal::UnknownField`], [`Refusal::UnknownTool`].
    pub fn check(&self, kind: ProviderKind, rules: &ApiRules) -> Result<(), Refusal> {
        if kind == ProviderKind::Node {
            return Ok(());
        }
        for field in &self.fields {
            if !rules.fields.contains(&field.name) && !rules.strip.contains(&field.name) {
                return Err(Refusal::UnknownField(FieldName::new(&field.name)));
            }
        }
        for tool in &self.seen.tools {
            if !rules.tool_types.contains(tool) {
                return Err(Refusal::UnknownTool(FieldName::new(tool)));
            }
        }
        Ok(())
    }

    /// Whether the request carries wishes to cache that [`Self::edits`] takes out unless caching is on.
    #[must_use]
    pub fn wants_cache(&self) -> bool {
        !self.seen.cache_controls.is_empty()
    }

    /// Whether the request carries thoughts that [`Self::edits`] takes out, for a server that would refuse them.
    #[must_use]
    pub fn loses_thoughts(&self, rules: &ApiRules) -> bool {
        let taken = |name: &str| rules.thoughts.iter().any(|taken| taken == name);
        self.seen.thoughts.iter().any(|field| !taken(field.name) && !other_name(field.name).is_some_and(taken))
    }

    /// What to change before the request goes to a provider that takes the same format.
    #[must_use]
    pub fn edits(&self, change: &Change<'_>, rules: &ApiRules) -> Edits {
        let mut edits = Edits::default();
        let first = self.open_brace + 1;
        let comma: &[u8] = if self.is_empty { b"" } else { b"," };
        let model_stays = !rules.strip.iter().any(|name| name == "model");
        if !self.model_span.is_empty() && change.model != self.model && model_stays {
            edits.replace(self.model_span.clone(), quoted(change.model));
        }
        for (name, value) in &rules.force {
            match self.field_called(name) {
                None => edits.replace(first..first, [&quoted(name), b":" as &[u8], value.as_bytes(), comma].concat()),
                Some(field) => edits.replace(field.value.clone(), value.as_bytes()),
            }
        }
        for (name, servers) in &rules.rename {
            // With both there, the client has said it in the server's words already.
            if let Some(field) = self.field_called(name).filter(|_| self.field_called(servers).is_none()) {
                edits.replace(field.key.clone(), quoted(servers));
            }
        }
        let stripped = self.stripped(rules);
        stripped.iter().for_each(|span| edits.replace(span.clone(), *b""));
        if !change.cache {
            self.seen.cache_controls.iter().for_each(|span| edits.replace(span.clone(), *b"null"));
        }
        self.seen.models.iter().for_each(|span| edits.replace(span.clone(), quoted(&["models/", change.model].concat())));
        // What is left out needs no change.
        let stays = |span: &&Range<usize>| !stripped.iter().any(|gone| gone.contains(&span.start));
        if let Some(span) = self.seen.user.as_ref().filter(stays) {
            edits.replace(span.clone(), quoted(change.pseudonym));
        }
        for field in self.seen.thoughts.iter().filter(|field| !rules.thoughts.iter().any(|name| name == field.name)) {
            match other_name(field.name).filter(|name| rules.thoughts.iter().any(|taken| taken == name)) {
                Some(name) if self.seen.thoughts.iter().all(|field| field.name != name) => {
                    edits.replace(field.key.clone(), quoted(name))
                }
                _ => edits.replace(field.member.clone(), *b""),
            }
        }
        if rules.short_call_ids {
            self.seen.call_ids.iter().for_each(|(span, id)| edits.replace(span.clone(), id.quoted()));
        }
        if self.stream && rules.stream_usage && !self.wants_usage {
            self.ask_for_usage(&mut edits);
        }
        edits
    }

    fn ask_for_usage(&self, edits: &mut Edits) {
        let first = self.open_brace + 1;
        match (&self.seen.options, self.field_called("stream_options")) {
            (Some(options), _) => match &options.include_usage {
                Some(span) => edits.replace(span.clone(), *b"true"),
                None => {
                    let at = options.span.start + 1;
                    let with: &[u8] = if options.is_empty { b"\"include_usage\":true" } else { b"\"include_usage\":true," };
                    edits.replace(at..at, with);
                }
            },
            (None, Some(field)) => edits.replace(field.value.clone(), *b"{\"include_usage\":true}"),
            (None, None) => edits.replace(first..first, *b"\"stream_options\":{\"include_usage\":true},"),
        }
    }

    /// The members that are left out, each with a comma that goes with it; no two overlap.
    fn stripped(&self, rules: &ApiRules) -> Vec<Range<usize>> {
        let goes = |field: &Field| rules.strip.contains(&field.name);
        // From the end, members go with the comma before them, as one; elsewhere each goes with the comma behind it.
        let stays = self.fields.iter().rposition(|field| !goes(field));
        let kept = stays.map_or(0, |last| last + 1);
        let pairs = self.fields.iter().zip(self.fields.iter().skip(1)).take(kept.saturating_sub(1));
        let mut spans: Vec<_> =
            pairs.filter(|(field, _)| goes(field)).map(|(field, next)| field.key.start..next.key.start).collect();
        if let (Some(first), Some(last)) = (self.fields.get(kept), self.fields.last()) {
            let start = stays.and_then(|last| self.fields.get(last)).map_or(first.key.start, |before| before.value.end);
            spans.push(start..last.value.end);
        }
        spans
    }
}

impl Seen {
    /// Reads `stream_options`.
    pub(crate) fn stream_options(&mut self, value: &mut Cursor<'_>) -> Result<(), Refusal> {
        let start = value.offset();
        let mut options = Options { span: 0..0, is_empty: true, include_usage: None };
        let mut wants_usage = false;
        value.object(|key, _, value| {
            options.is_empty = false;
            if key.folded() != "include_usage" {
                return value.skip().map(drop).map_err(Refusal::from);
            }
            if options.include_usage.is_some() || !key.is("include_usage") {
                return Err(Refusal::DuplicateField(FieldName::new("stream_options.include_usage")));
            }
            let at = value.offset();
            match value.kind()? {
                Kind::Bool => wants_usage = value.boolean()?,
                Kind::Null => {
                    value.skip()?;
                }
                _ => return Err(Refusal::WrongType("stream_options.include_usage", "true or false")),
            }
            options.include_usage = Some(at..value.offset_of_last());
            Ok(())
        })?;
        options.span = start..value.offset_of_last();
        self.options = Some(options);
        self.wants_usage = wants_usage;
        Ok(())
    }

    /// Reads `tools[].type`.
    pub(crate) fn tool_types(&mut self, value: &mut Cursor<'_>, absent: Option<&str>) -> Result<(), Refusal> {
        value.array(|tool| {
            if tool.kind()? != Kind::Object {
                return Err(Refusal::WrongType("tools", "an array of objects"));
            }
            let mut kind = None;
            tool.object(|key, _, value| {
                if key.folded() == "type" && value.kind()? == Kind::String {
                    if kind.replace(value.string()?.unescaped()).is_some() {
                        return Err(Refusal::DuplicateField(FieldName::new("tools.type")));
                    }
                    Ok(())
                } else if key.folded() == "cache_control" {
                    self.cache_control(value)
                } else {
                    value.skip().map(drop).map_err(Refusal::from)
                }
            })?;
            self.tools.push(kind.or_else(|| absent.map(str::to_owned)).ok_or(Refusal::MissingField("tools.type"))?);
            Ok(())
        })
    }

    /// Reads the value of a `cache_control`, to be taken out where caching is off.
    pub(crate) fn cache_control(&mut self, value: &mut Cursor<'_>) -> Result<(), Refusal> {
        let span = value.skip()?;
        self.cache_controls.push(span);
        Ok(())
    }
}

/// The other name that servers have for thoughts in the open.
fn other_name(name: &str) -> Option<&'static str> {
    match name {
        "reasoning" => Some("reasoning_content"),
        "reasoning_content" => Some("reasoning"),
        _ => None,
    }
}

/// `text` as a JSON string. Model names come from the configuration.
fn quoted(text: &str) -> Vec<u8> {
    let mut out = vec![b'"'];
    write::escape(text, &mut out);
    out.push(b'"');
    out
}
