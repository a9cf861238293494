//! YAML with the places of everything in its text: what is changed is changed there, and the rest stays as somebody wrote it.
//!
//! The only file that knows the parser. As Prometheus does, only the first document of a file is read.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Span};

/// How deep a file may be nested: no configuration comes near it, and whoever walks the tree has a stack.
const DEEPEST: usize = 64;

/// A text is no YAML.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {problem}")]
pub struct YamlError {
    /// From 1 on.
    pub line: usize,
    /// From 1 on.
    pub column: usize,
    /// What is wrong there.
    pub problem: String,
}

/// How a scalar is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    Plain,
    Single,
    Double,
    /// `|` or `>`
    Block,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum What {
    Scalar(String, Style),
    /// `*name`, by the number of its anchor.
    Alias(usize),
    List(Vec<Node>),
    Map(Vec<(Node, Node)>),
}

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) what: What,
    /// In bytes of the text, with its anchor and tag. Of a list or map only its beginning: `{`, or nothing.
    pub(super) place: Range<usize>,
    /// From 1 on.
    pub(super) line: usize,
    /// The number of its anchor; 0 where it has none.
    pub(super) anchor: usize,
}

impl Node {
    pub(super) fn scalar(text: &str) -> Self {
        let what = What::Scalar(text.to_owned(), Style::Plain);
        Self { what, place: 0..0, line: 0, anchor: 0 }
    }

    pub(super) fn map(pairs: Vec<(Node, Node)>) -> Self {
        Self { what: What::Map(pairs), place: 0..0, line: 0, anchor: 0 }
    }

    /// The text of a scalar.
    pub(super) fn text(&self) -> Option<&str> {
        if let What::Scalar(text, _) = &self.what { Some(text) } else { None }
    }

    /// It stands for nothing at all.
    pub(super) fn is_null(&self) -> bool {
        matches!(&self.what, What::Scalar(text, Style::Plain)
            if matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
    }

    /// The pair of a map with this key, written there itself.
    pub(super) fn pair(&self, key: &str) -> Option<&(Node, Node)> {
        let What::Map(pairs) = &self.what else { return None };
        pairs.iter().find(|(name, _)| name.text() == Some(key))
    }
}

/// The first document of a text.
#[derive(Debug, Clone)]
pub(super) struct Document {
    pub(super) root: Node,
    anchors: BTreeMap<usize, Node>,
    aliased: BTreeSet<usize>,
}

impl Document {
    pub(super) fn read(text: &str) -> Result<Self, YamlError> {
        let offsets: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
        let mut builder = Builder { text, offsets, ..Builder::default() };
        for event in Parser::new_from_str(text) {
            let (event, span) = event.map_err(|error| told(&error))?;
            if matches!(event, Event::DocumentEnd) {
                break;
            }
            builder.take(event, span)?;
        }
        let root = builder.root.unwrap_or_else(|| Node::scalar(""));
        Ok(Self { root, anchors: builder.anchors, aliased: builder.aliased })
    }

    /// Some alias stands for this value, so that whoever changes it changes that place, too.
    pub(super) fn is_shared(&self, node: &Node) -> bool {
        self.aliased.contains(&node.anchor)
    }

    /// What it is in the end, where it is an alias.
    pub(super) fn real<'a>(&'a self, node: &'a Node) -> &'a Node {
        match node.what {
            What::Alias(anchor) => self.anchors.get(&anchor).unwrap_or(node),
            _ => node,
        }
    }

    /// What a map says of a key in the end: aliases stand for what they name, and `<<` brings what is not written.
    pub(super) fn get<'a>(&'a self, map: &'a Node, key: &str) -> Option<&'a Node> {
        let map = self.real(map);
        if let Some((_, value)) = map.pair(key) {
            return Some(self.real(value));
        }
        let merged = self.real(&map.pair("<<")?.1);
        match &merged.what {
            What::List(maps) => maps.iter().find_map(|map| self.real(map).pair(key)),
            _ => merged.pair(key),
        }
        .map(|(_, value)| self.real(value))
    }

    /// The elements of a list; none where it is none.
    pub(super) fn elements<'a>(&'a self, list: Option<&'a Node>) -> &'a [Node] {
        match list.map(|list| &self.real(list).what) {
            Some(What::List(elements)) => elements,
            _ => &[],
        }
    }
}

/// What the values of two texts have in common when only their writing differs.
pub(super) fn canonical(node: &Node) -> String {
    match &node.what {
        // A quoted number is no number.
        What::Scalar(text, style) => format!("{}{text:?}", if *style == Style::Plain { "" } else { "!" }),
        What::Alias(anchor) => format!("*{anchor}"),
        What::List(all) => format!("[{}]", all.iter().map(canonical).collect::<Vec<_>>().join(",")),
        What::Map(pairs) => {
            let pair = |(key, value): &(Node, Node)| format!("{}:{}", canonical(key), canonical(value));
            format!("{{{}}}", pairs.iter().map(pair).collect::<Vec<_>>().join(","))
        }
    }
}

/// Puts nodes together from what the parser says, one after the other.
#[derive(Default)]
struct Builder<'a> {
    text: &'a str,
    /// Of each character, its first byte.
    offsets: Vec<usize>,
    open: Vec<Open>,
    root: Option<Node>,
    anchors: BTreeMap<usize, Node>,
    aliased: BTreeSet<usize>,
}

/// A list or map that has not ended yet.
struct Open {
    node: Node,
    key: Option<Node>,
}

impl Builder<'_> {
    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), YamlError> {
        match event {
            Event::Scalar(text, style, anchor, _) => {
                self.close(self.node(What::Scalar(Cow::into_owned(text), style_of(style)), anchor, span));
            }
            Event::Alias(anchor) => {
                self.aliased.insert(anchor);
                self.close(self.node(What::Alias(anchor), 0, span));
            }
            Event::SequenceStart(anchor, _) => {
                self.begin(self.node(What::List(Vec::new()), anchor, span), span)?;
            }
            Event::MappingStart(anchor, _) => {
                self.begin(self.node(What::Map(Vec::new()), anchor, span), span)?;
            }
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some(open) = self.open.pop() {
                    self.close(open.node);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn node(&self, what: What, anchor: usize, span: Span) -> Node {
        let byte = |mark: Marker| {
            self.offsets.get(mark.index()).or(self.offsets.last()).copied().unwrap_or_default()
        };
        let (start, end) = (byte(span.start), byte(span.end));
        let end = match &what {
            // The parser counts what comes behind it on the line.
            What::Scalar(_, style @ (Style::Single | Style::Double)) => {
                self.quoted_end(start, *style).unwrap_or(end)
            }
            _ => end,
        };
        Node { what, place: start..end.max(start), line: span.start.line(), anchor }
    }

    /// Behind the closing quote of a scalar that begins, with its anchor and tag, at `start`.
    fn quoted_end(&self, start: usize, style: Style) -> Option<usize> {
        let quote = if style == Style::Single { '\'' } else { '"' };
        let mut at = start + self.text.get(start..)?.find(quote)? + 1;
        loop {
            let rest = &self.text[at..];
            let next = rest.find([quote, '\\'])?;
            let (found, behind) = (rest[next..].chars().next()?, rest[next..].chars().nth(1));
            at += next + 1;
            match (found, behind) {
                ('\\', _) if style == Style::Single => {}
                // What is escaped, and a quote that stands for one, are no end.
                ('\\', Some(escaped)) => at += escaped.len_utf8(),
                ('\'', Some('\'')) => at += 1,
                _ => return Some(at),
            }
        }
    }

    fn begin(&mut self, node: Node, span: Span) -> Result<(), YamlError> {
        if self.open.len() == DEEPEST {
            let (line, column) = (span.start.line(), span.start.col() + 1);
            return Err(YamlError { line, column, problem: "it is nested too deeply".to_owned() });
        }
        self.open.push(Open { node, key: None });
        Ok(())
    }

    /// Puts a whole node where it belongs.
    fn close(&mut self, node: Node) {
        if node.anchor > 0 {
            self.anchors.insert(node.anchor, node.clone());
        }
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return;
        };
        match (&mut open.node.what, open.key.take()) {
            (What::List(elements), _) => elements.push(node),
            (What::Map(pairs), Some(key)) => pairs.push((key, node)),
            _ => open.key = Some(node),
        }
    }
}

fn style_of(style: ScalarStyle) -> Style {
    match style {
        ScalarStyle::Plain => Style::Plain,
        ScalarStyle::SingleQuoted => Style::Single,
        ScalarStyle::DoubleQuoted => Style::Double,
        ScalarStyle::Literal | ScalarStyle::Folded => Style::Block,
    }
}

fn told(error: &ScanError) -> YamlError {
    let mark = error.marker();
    YamlError { line: mark.line(), column: mark.col() + 1, problem: error.info().to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_found_where_it_stands_also_behind_wide_characters() {
        let text = "# Größe 日本\r\na: 'x ''y' # é'\r\nb: {c: [1, \"2\"]}\r\nd: &e 5m\r\nf: *e\r\ng: \"\\\"\\\\\" # \"\r\n";
        let document = Document::read(text).unwrap();
        let at = |node: &Node| &text[node.place.clone()];
        let root = &document.root;
        assert_eq!(at(&root.pair("a").unwrap().0), "a");
        assert_eq!(at(&root.pair("a").unwrap().1), "'x ''y'");
        assert_eq!(at(&root.pair("g").unwrap().1), "\"\\\"\\\\\"");
        let list = document.get(&root.pair("b").unwrap().1, "c");
        assert_eq!(document.elements(list).iter().map(at).collect::<Vec<_>>(), ["1", "\"2\""]);
        assert_eq!(at(&root.pair("d").unwrap().1), "&e 5m");
        assert_eq!(document.get(root, "f").and_then(Node::text), Some("5m"));
        assert!(document.is_shared(&root.pair("d").unwrap().1) && !document.is_shared(root));
        assert_eq!(root.pair("d").unwrap().0.line, 4);
    }

    #[test]
    fn what_is_merged_counts_where_nothing_is_written() {
        let text = "a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}\nc:\n  <<: [*a]\n";
        let document = Document::read(text).unwrap();
        let get = |map: &str, key: &str| {
            document.get(&document.root.pair(map).unwrap().1, key).and_then(Node::text).map(str::to_owned)
        };
        assert_eq!(get("b", "x").as_deref(), Some("1"));
        assert_eq!(get("b", "y").as_deref(), Some("3"));
        assert_eq!(get("c", "y").as_deref(), Some("2"));
        assert_eq!(get("c", "z"), None);
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        let error = Document::read("a: 1\nb: [1, 2\nc: 3\n").unwrap_err();
        assert!(error.line >= 2 && !error.problem.is_empty(), "{error}");
        let deep = |depth: usize| Document::read(&format!("{}{}", "[".repeat(depth), "]".repeat(depth)));
        assert!(deep(DEEPEST).is_ok() && deep(10_000).is_err());
        assert!(deep(DEEPEST + 1).unwrap_err().problem.contains("deeply"));
        assert!(Document::read("").unwrap().root.is_null());
        assert!(Document::read("# only this\n").unwrap().root.is_null());
    }

    #[test]
    fn only_the_first_document_is_read() {
        let document = Document::read("---\na: 1\n---\na: 2\n").unwrap();
        assert_eq!(document.get(&document.root, "a").and_then(Node::text), Some("1"));
    }
}
