//! In which form a client wants its answer: as JSON or as binary data, whole or as classes.

use crate::request::{JsonRequest, OutputParameters};
use crate::{Error, InferRequest, InferResponse, Parameter, Signature, classify};

/// Bytes of text that the classes of one answer may take beyond what its outputs took.
const CLASSES_BYTES: usize = 64 << 10;

/// The wanted forms of a request's outputs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Forms {
    /// Whether an output is binary of which the request says nothing.
    binary: bool,
    /// What the request says of single outputs.
    outputs: Vec<Form>,
}

#[derive(Clone, Debug, PartialEq)]
struct Form {
    output: String,
    binary: Option<bool>,
    /// How many classes; 0 for the output itself.
    classes: u32,
}

impl Forms {
    /// All outputs binary.
    pub(super) fn binary() -> Self {
        Self {
            binary: true,
            outputs: Vec::new(),
        }
    }

    /// What the request's parameters and those of its outputs say.
    pub(super) fn of(request: &JsonRequest<'_>) -> Result<Self, Error> {
        let outputs = request.outputs.iter().flat_map(|outputs| &outputs.0);
        let mut forms = Self {
            binary: binary_by_default(request)?,
            outputs: Vec::new(),
        };
        for output in outputs {
            let Some(parameters) = &output.parameters else {
                continue;
            };
            let OutputParameters {
                binary_data,
                classification,
                shared_memory_region,
            } = parameters;
            if shared_memory_region.is_some() {
                let tensor = output.name.clone();
                return Err(Error::SharedMemory { tensor });
            }
            forms.outputs.push(Form {
                output: output.name.clone(),
                binary: *binary_data,
                classes: classification.unwrap_or(0),
            });
        }
        Ok(forms)
    }

    /// Wants so many classes in the place of an output.
    pub fn want_classes(&mut self, output: String, classes: u32) {
        self.outputs.push(Form {
            output,
            binary: None,
            classes,
        });
    }

    /// Refuses forms that an output of this model cannot have, before the model runs.
    pub(super) fn check(&self, request: &InferRequest, signature: &Signature) -> Result<(), Error> {
        let wanted = |name: &String| request.outputs.is_empty() || request.outputs.contains(name);
        let outputs = signature.outputs.iter();
        for output in outputs.filter(|output| wanted(&output.name)) {
            if self.classes(&output.name) == 0
                && !self.is_binary(&output.name)
                && !output.datatype.has_json_form()
            {
                return Err(Error::NoJsonForm {
                    tensor: output.name.clone(),
                    datatype: output.datatype,
                });
            }
        }
        Ok(())
    }

    fn find(&self, output: &str) -> Option<&Form> {
        self.outputs.iter().find(|form| form.output == output)
    }

    /// Whether an output's data stands behind the JSON.
    pub fn is_binary(&self, output: &str) -> bool {
        let own = self.find(output).and_then(|form| form.binary);
        own.unwrap_or(self.binary)
    }

    /// How many classes are wanted in place of an output; 0 for the output itself.
    pub fn classes(&self, output: &str) -> u32 {
        self.find(output).map_or(0, |form| form.classes)
    }

    /// Puts classes in the place of the outputs that are wanted so.
    ///
    /// # Errors
    ///
    /// [`Error::Classification`] for an output that has no classes, or too many.
    pub fn classify(&self, response: &mut InferResponse, labels: &[String]) -> Result<(), Error> {
        // Texts may be far longer than the numbers that they stand for.
        let lengths = response.outputs.iter().map(|output| output.data.len());
        let mut room = lengths.sum::<usize>().saturating_add(CLASSES_BYTES);
        for output in &mut response.outputs {
            match self.classes(&output.name) {
                0 => {}
                count => *output = classify(output, count, labels, &mut room)?,
            }
        }
        Ok(())
    }
}

fn binary_by_default(request: &JsonRequest<'_>) -> Result<bool, Error> {
    match request.parameters.get("binary_data_output") {
        None => Ok(false),
        Some(Parameter::Bool(binary)) => Ok(*binary),
        Some(_) => Err(Error::Binary(
            "the parameter binary_data_output must be true or false".into(),
        )),
    }
}
