//! The keys of `model.toml`, in the order and with the words of `docs/model.schema.json`.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;

const TEXT: &str = include_str!("../../../docs/model.schema.json");

/// All keys there are.
#[derive(serde::Deserialize)]
pub(super) struct Schema {
    properties: Ordered<Key>,
    #[serde(rename = "$defs")]
    tables: Ordered<Table>,
}

#[derive(serde::Deserialize)]
struct Table {
    #[serde(default)]
    properties: Ordered<Key>,
}

/// A key of one table.
#[derive(serde::Deserialize)]
pub(super) struct Key {
    /// What it means.
    pub(super) description: String,
    default: Option<Value>,
    #[serde(default)]
    examples: Vec<Value>,
}

impl Schema {
    /// # Errors
    /// The file is no such schema: our bug.
    pub(super) fn read() -> serde_json::Result<Self> {
        serde_json::from_str(TEXT)
    }

    /// The keys outside of all tables, and the tables.
    pub(super) fn top(&self) -> &[(String, Key)] {
        &self.properties.0
    }

    /// The keys of a table; one of `[input]` and `[output]` has its kind in its name.
    pub(super) fn table(&self, name: &str) -> &[(String, Key)] {
        let mut tables = self.tables.0.iter();
        let table = tables.find(|(other, _)| other == name);
        table.map_or(&[], |(_, table)| table.properties.0.as_slice())
    }

    /// The kinds that a table can be of, and what each is.
    pub(super) fn kinds(&self, table: &str) -> impl Iterator<Item = (&str, &str)> {
        self.tables.0.iter().filter_map(move |(name, keys)| {
            let kind = name.strip_prefix(table)?.strip_prefix('_')?;
            let mut keys = keys.properties.0.iter();
            let (_, key) = keys.find(|(key, _)| key == "kind")?;
            Some((kind, key.description.as_str()))
        })
    }
}

impl Key {
    /// A value that it can have: the default, or an example.
    pub(super) fn sample(&self) -> Option<&Value> {
        self.default.as_ref().or_else(|| self.examples.first())
    }
}

/// An object of JSON whose keys keep their order.
struct Ordered<T>(Vec<(String, T)>);

impl<T> Default for Ordered<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Ordered<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Entries<T> {
            type Value = Ordered<T>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Ordered(entries))
            }
        }

        deserializer.deserialize_map(Entries(PhantomData))
    }
}
