//! Which route a request's path belongs to, by the rules of Spin. It knows neither HTTP nor what
//! stands behind a route.

use std::cmp::Ordering;

/// A route as a manifest writes it: `/exact`, `/with/:parameter`, `/below/...`.
#[derive(Clone, Debug)]
pub struct Pattern {
    raw: String,
    matched: String,
    segments: Vec<Segment>,
    wildcard: bool,
}

/// What stands between two slashes.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    Exact(String),
    Parameter(String),
}

/// Why a text is no route.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// A character that no path has, or that ends it.
    #[error("{0:?} cannot be in a route")]
    Character(char),
    /// `//`.
    #[error("there is nothing between two of its slashes")]
    EmptySegment,
    /// `...` or `*` which is not the whole of the last segment.
    #[error("a wildcard is the whole last segment: end the route with /...")]
    Wildcard,
    /// `:` alone, or with what is no name.
    #[error("{0:?} is no parameter: after the colon comes a name of letters, digits, _ and -")]
    Parameter(String),
    /// Two parameters of one name; guests get them as headers, in which `_` is `-`.
    #[error("there are two parameters {0:?}")]
    Twice(String),
}

/// The part of a path that a pattern left open.
#[derive(Debug)]
struct Captures<'t, 'p> {
    parameters: Vec<(&'t str, &'p str)>,
    rest: &'p str,
}

/// A path that belongs to a route.
#[derive(Debug)]
pub struct Match<'t, 'p, T> {
    /// What was put into the table with the pattern.
    pub value: &'t T,
    /// The route.
    pub pattern: &'t Pattern,
    /// Each `:name` of the pattern with its part of the path.
    pub parameters: Vec<(&'t str, &'p str)>,
    /// What the wildcard stands for, with the slash before it and one after it, if there is one;
    /// empty without a wildcard, or if the path ended before it.
    pub rest: &'p str,
}

/// Patterns, the most specific first.
#[derive(Debug)]
pub struct Table<T> {
    entries: Vec<(Pattern, T)>,
}

impl Pattern {
    /// Reads a route; a `/` at its start is added if it is missing, one at its end is dropped.
    ///
    /// # Errors
    /// It could never be matched, or not by what it seems to say.
    pub fn parse(raw: &str) -> Result<Self, PatternError> {
        if let Some(wrong) = raw.chars().find(|letter| !may_stand_in_route(*letter)) {
            return Err(PatternError::Character(wrong));
        }
        let body = raw.strip_prefix('/').unwrap_or(raw);
        let body = body.strip_suffix('/').unwrap_or(body);
        let mut texts: Vec<&str> = match body {
            "" => Vec::new(),
            _ => body.split('/').collect(),
        };
        let wildcard = matches!(texts.last(), Some(&"..." | &"*"));
        if wildcard {
            texts.pop();
        }
        let segments: Vec<_> = texts
            .into_iter()
            .map(Segment::parse)
            .collect::<Result<_, _>>()?;
        check_names(&segments)?;
        Ok(Self {
            raw: raw.to_owned(),
            matched: match body {
                "" => String::new(),
                _ => format!("/{body}"),
            },
            segments,
            wildcard,
        })
    }

    /// The route as it was written.
    pub fn raw(&self) -> &str {
        &self.raw
    }

    /// The same without `/...`.
    pub fn component_route(&self) -> &str {
        without_dots(&self.raw)
    }

    /// The route as it is matched: with a slash at its start and none at its end, so `/` is empty.
    pub fn matched(&self) -> &str {
        &self.matched
    }

    /// The paths that it takes, as a text: the same for routes that differ in writing alone, or in
    /// what their parameters are called.
    pub fn paths(&self) -> String {
        let segments = self.segments.iter().map(|segment| match segment {
            Segment::Exact(text) => text.as_str(),
            Segment::Parameter(_) => ":",
        });
        let end = self.wildcard.then_some("...");
        segments.chain(end).collect::<Vec<_>>().join("/")
    }

    /// Slashes around a path are not significant, as in Spin; but a wildcard keeps one at the end.
    fn captures<'t, 'p>(&'t self, path: &'p str) -> Option<Captures<'t, 'p>> {
        let inner = path.strip_prefix('/')?.trim_matches('/');
        let mut left = (!inner.is_empty()).then_some(inner);
        let mut parameters = Vec::new();
        for segment in &self.segments {
            let (part, after) = split(left?);
            match segment {
                Segment::Exact(text) if text == part => {}
                Segment::Exact(_) => return None,
                Segment::Parameter(name) => parameters.push((name.as_str(), part)),
            }
            left = after;
        }
        let rest = match (self.wildcard, left) {
            (true, Some(left)) => with_slashes(path, left),
            (true, None) if path.ends_with('/') => "/",
            (_, None) => "",
            (false, Some(_)) => return None,
        };
        Some(Captures { parameters, rest })
    }

    /// The order in which patterns are tried: at the first segment where they differ in kind, an
    /// exact one is before a parameter, and that is before a wildcard.
    fn precedes(&self, other: &Self) -> Ordering {
        self.ranks().cmp(other.ranks())
    }

    fn ranks(&self) -> impl Iterator<Item = u8> {
        let segments = self.segments.iter().map(|segment| match segment {
            Segment::Exact(_) => 0,
            Segment::Parameter(_) => 1,
        });
        segments.chain(self.wildcard.then_some(2))
    }
}

impl Segment {
    fn parse(text: &str) -> Result<Self, PatternError> {
        if text.is_empty() {
            return Err(PatternError::EmptySegment);
        }
        if text.contains('*') || text.ends_with("...") {
            return Err(PatternError::Wildcard);
        }
        let is_name = |name: &str| {
            let part = |letter: char| letter.is_ascii_alphanumeric() || "_-".contains(letter);
            !name.is_empty() && name.chars().all(part)
        };
        match text.strip_prefix(':') {
            Some(name) if is_name(name) => Ok(Self::Parameter(name.to_owned())),
            Some(_) => Err(PatternError::Parameter(text.to_owned())),
            // Spin takes what is behind the dot as a parameter.
            None if text.contains(".:") => Err(PatternError::Parameter(text.to_owned())),
            None => Ok(Self::Exact(text.to_owned())),
        }
    }
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self::new(Vec::new())
    }
}

impl<T> Table<T> {
    /// A table of these routes. Of two that take the same paths, the first one is found.
    pub fn new(mut entries: Vec<(Pattern, T)>) -> Self {
        entries.sort_by(|(one, _), (other, _)| one.precedes(other));
        Self { entries }
    }

    /// The most specific route that takes a path, which comes without a query.
    pub fn find<'t, 'p>(&'t self, path: &'p str) -> Option<Match<'t, 'p, T>> {
        self.entries.iter().find_map(|(pattern, value)| {
            let Captures { parameters, rest } = pattern.captures(path)?;
            Some(Match {
                value,
                pattern,
                parameters,
                rest,
            })
        })
    }

    /// All routes, in the order in which they are tried.
    pub fn iter(&self) -> impl Iterator<Item = (&Pattern, &T)> {
        self.entries.iter().map(|(pattern, value)| (pattern, value))
    }
}

fn may_stand_in_route(letter: char) -> bool {
    letter.is_ascii_graphic() && !matches!(letter, '?' | '#')
}

fn without_dots(route: &str) -> &str {
    route.strip_suffix("/...").unwrap_or(route)
}

fn check_names(segments: &[Segment]) -> Result<(), PatternError> {
    let mut seen = Vec::new();
    for segment in segments {
        let Segment::Parameter(name) = segment else {
            continue;
        };
        let header = name.replace('_', "-").to_ascii_lowercase();
        if seen.contains(&header) {
            return Err(PatternError::Twice(name.clone()));
        }
        seen.push(header);
    }
    Ok(())
}

/// The first segment, and what comes after its slash.
fn split(path: &str) -> (&str, Option<&str>) {
    match path.split_once('/') {
        Some((segment, after)) => (segment, Some(after)),
        None => (path, None),
    }
}

/// The end of a path, with the slash before it and one of those after it.
fn with_slashes<'p>(path: &'p str, end: &str) -> &'p str {
    let trimmed = path.trim_end_matches('/').len();
    let start = trimmed.saturating_sub(end.len() + 1);
    let stop = path.len().min(trimmed + 1);
    path.get(start..stop).unwrap_or_default()
}
