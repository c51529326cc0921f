//! Texts that stand for numbers: what each of them becomes.

use std::collections::BTreeMap;

use glovebox_protocol::name_list;

use crate::input::rows::Number;
use crate::input::values::Values;

/// The categories that a field knows.
pub(super) struct Categories {
    codes: BTreeMap<String, Code>,
    /// How many columns each becomes.
    width: usize,
}

/// What a category becomes.
#[derive(Clone, Copy)]
pub(super) enum Code {
    /// This number, in all columns.
    Everywhere(f64),
    /// 1 in this column and 0 in the others.
    Column(usize),
}

impl Categories {
    /// Categories that become a number each.
    pub(super) fn numbers(numbers: BTreeMap<String, f64>) -> Result<Self, String> {
        if numbers.is_empty() {
            return Err("categories are empty".into());
        }
        let codes = numbers.into_iter();
        Ok(Self {
            codes: codes
                .map(|(name, number)| (name, Code::Everywhere(number)))
                .collect(),
            width: 1,
        })
    }

    /// Categories that have a column each.
    pub(super) fn columns(names: Vec<String>) -> Result<Self, String> {
        if names.is_empty() {
            return Err("one_hot is empty".into());
        }
        let (width, mut codes) = (names.len(), BTreeMap::new());
        for (column, name) in names.into_iter().enumerate() {
            if codes.insert(name.clone(), Code::Column(column)).is_some() {
                return Err(format!("one_hot has {name:?} twice"));
            }
        }
        Ok(Self { codes, width })
    }

    pub(super) fn width(&self) -> usize {
        self.width
    }

    /// What the category of this name becomes.
    pub(super) fn code(&self, name: &str) -> Option<Code> {
        self.codes.get(name).copied()
    }

    /// What any of them becomes.
    pub(super) fn codes(&self) -> impl Iterator<Item = Code> {
        self.codes.values().copied()
    }

    /// Their names, for people.
    pub(super) fn listed(&self) -> String {
        name_list(self.codes.keys().map(String::as_str))
    }

    /// Appends what the columns hold for a category.
    ///
    /// # Errors
    /// The values cannot hold it.
    pub(super) fn push(&self, code: Code, values: &mut Values) -> Result<(), String> {
        (0..self.width).try_for_each(|column| {
            values.push(match code {
                Code::Everywhere(number) => Number::from(number),
                Code::Column(own) => Number::from(own == column),
            })
        })
    }
}
