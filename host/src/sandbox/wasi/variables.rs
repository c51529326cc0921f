//! The two interfaces by which components read their configuration: Spin's own and `wasi:config`.

use wasmtime::Result;
use wasmtime::component::{HasSelf, Linker};

use super::guest::Guest;

#[allow(missing_docs, reason = "generated from the WIT of their owners")]
mod bindings {
    wasmtime::component::bindgen!({
        inline: "
            package glovebox:configuration;
            world configured {
                import fermyon:spin/variables@2.0.0;
                import wasi:config/store@0.2.0-draft-2024-09-27;
            }
            package fermyon:spin@2.0.0 {
                interface variables {
                    get: func(name: string) -> result<string, error>;
                    variant error {
                        invalid-name(string),
                        undefined(string),
                        provider(string),
                        other(string),
                    }
                }
            }
            package wasi:config@0.2.0-draft-2024-09-27 {
                interface store {
                    variant error { upstream(string), io(string) }
                    get: func(key: string) -> result<option<string>, error>;
                    get-all: func() -> result<list<tuple<string, string>>, error>;
                }
            }
        ",
    });
}

use bindings::fermyon::spin::variables;
use bindings::wasi::config::store;

/// Gives a linker both interfaces.
///
/// # Errors
/// It has them already.
pub(super) fn add_to_linker(linker: &mut Linker<Guest>) -> Result<()> {
    variables::add_to_linker::<_, HasSelf<Guest>>(linker, |guest| guest)?;
    store::add_to_linker::<_, HasSelf<Guest>>(linker, |guest| guest)
}

impl variables::Host for Guest {
    fn get(&mut self, name: String) -> Result<String, variables::Error> {
        let value = self.variables().get(&name).cloned();
        value.ok_or_else(|| variables::Error::Undefined(format!("no variable for {name:?}")))
    }
}

impl store::Host for Guest {
    fn get(&mut self, key: String) -> Result<Option<String>, store::Error> {
        Ok(self.variables().get(&key).cloned())
    }

    fn get_all(&mut self) -> Result<Vec<(String, String)>, store::Error> {
        let pairs = self.variables().iter();
        Ok(pairs
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect())
    }
}
