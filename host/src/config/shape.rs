//! Values of a manifest that can have one of several shapes. Serde's untagged enums would do, but
//! forget in which line an error is.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::manifest::TriggerToml;

/// A string, or a table that says more.
pub(super) enum TextOr<T> {
    Text(String),
    /// Boxed, for tables can hold tables.
    Table(Box<T>),
}

/// Yes, no, or a list of what.
pub(super) enum SwitchOr<T> {
    Switch(bool),
    List(Vec<T>),
}

/// One command, or a list of them.
pub(super) struct Commands(pub(super) Vec<String>);

/// `[[trigger.http]]`, and the names of triggers that are not HTTP.
#[derive(Default)]
pub(super) struct Triggers {
    pub(super) http: Vec<TriggerToml>,
    pub(super) others: Vec<String>,
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for TextOr<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextOrVisitor(PhantomData))
    }
}

struct TextOrVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for TextOrVisitor<T> {
    type Value = TextOr<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string or a table")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<TextOr<T>, E> {
        Ok(TextOr::Text(text.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<TextOr<T>, A::Error> {
        let table = T::deserialize(MapAccessDeserializer::new(map))?;
        Ok(TextOr::Table(Box::new(table)))
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for SwitchOr<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SwitchOrVisitor(PhantomData))
    }
}

struct SwitchOrVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for SwitchOrVisitor<T> {
    type Value = SwitchOr<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("true, false or a list")
    }

    fn visit_bool<E: Error>(self, switch: bool) -> Result<SwitchOr<T>, E> {
        Ok(SwitchOr::Switch(switch))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<SwitchOr<T>, A::Error> {
        Vec::deserialize(SeqAccessDeserializer::new(list)).map(SwitchOr::List)
    }
}

impl<'de> Deserialize<'de> for Commands {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(CommandsVisitor)
    }
}

struct CommandsVisitor;

impl<'de> Visitor<'de> for CommandsVisitor {
    type Value = Commands;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a command or a list of commands")
    }

    fn visit_str<E: Error>(self, command: &str) -> Result<Commands, E> {
        Ok(Commands(vec![command.to_owned()]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Commands, A::Error> {
        Vec::deserialize(SeqAccessDeserializer::new(list)).map(Commands)
    }
}

impl<'de> Deserialize<'de> for Triggers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(TriggersVisitor)
    }
}

struct TriggersVisitor;

impl<'de> Visitor<'de> for TriggersVisitor {
    type Value = Triggers;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("tables [[trigger.http]]")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Triggers, A::Error> {
        let mut triggers = Triggers::default();
        while let Some(kind) = map.next_key::<String>()? {
            if kind == "http" {
                triggers.http = map.next_value()?;
            } else {
                map.next_value::<IgnoredAny>()?;
                triggers.others.push(kind);
            }
        }
        Ok(triggers)
    }
}
