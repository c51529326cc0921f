//! What is made of sums, as a part of the operator that has them.

use glovebox_kernels::{FinishSums, Requantized, Scaled, Summed, WrongSize};
use tract_onnx::tract_core::internal::*;

/// What is made of the sums of each row.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Finished {
    /// The sums themselves, and a bias.
    Summed { bias: Arc<Tensor> },
    /// Integers of eight bits.
    Requantized {
        bias: Arc<Tensor>,
        scales: Arc<Tensor>,
        zero: i32,
        to: DatumType,
    },
    /// Numbers with a point: multiplied with another input, if there is one, with a bias.
    Scaled {
        is_scaled: bool,
        bias: Option<Arc<Tensor>>,
    },
}

/// Sums that are about to be stored.
pub(super) trait Sums {
    /// Stores what `finish` makes of them.
    ///
    /// # Errors
    /// A slice is not as long as it should be.
    fn store<F: FinishSums>(&self, finish: &F, output: &mut [F::Output]) -> Result<(), WrongSize>;
}

impl Finished {
    /// What tract makes of sums with these parameters, if we have it.
    pub(super) fn of(bias: Vec<i32>, scales: Vec<f32>, zero: i32, to: DatumType) -> Option<Self> {
        let bias = tensor1(&bias).into_arc_tensor();
        match to {
            DatumType::I32 => {
                let is_plain = zero == 0 && scales.iter().all(|scale| *scale == 1.0);
                is_plain.then_some(Self::Summed { bias })
            }
            DatumType::I8 | DatumType::U8 => Some(Self::Requantized {
                scales: tensor1(&scales).into_arc_tensor(),
                bias,
                zero,
                to,
            }),
            _ => None,
        }
    }

    /// The datatype of what comes out.
    pub(super) fn datum_type(&self) -> DatumType {
        match self {
            Self::Summed { .. } => DatumType::I32,
            Self::Requantized { to, .. } => *to,
            Self::Scaled { .. } => DatumType::F32,
        }
    }

    /// What is made of `sums`, for so many rows; `scale` is what a last input has.
    pub(super) fn tensor(
        &self,
        shape: &[usize],
        rows: usize,
        scale: Option<&TValue>,
        sums: &impl Sums,
    ) -> TractResult<Tensor> {
        match self {
            Self::Summed { bias } => {
                let bias = &values::<i32>(bias)?;
                written(shape, sums, &Summed { bias })
            }
            Self::Requantized {
                bias,
                scales,
                zero,
                to,
            } => {
                let (bias, scales) = (&values::<i32>(bias)?, &values::<f32>(scales)?);
                if *to == DatumType::I8 {
                    let zero = *zero as i8;
                    return written(shape, sums, &Requantized { bias, scales, zero });
                }
                let zero = *zero as u8;
                written(shape, sums, &Requantized { bias, scales, zero })
            }
            Self::Scaled { bias, .. } => {
                let mut scales = match scale {
                    Some(scale) => values::<f32>(scale)?,
                    None => vec![1.0],
                };
                if let [all] = scales.as_slice() {
                    scales = vec![*all; rows];
                }
                let bias = match bias {
                    Some(bias) => values::<f32>(bias)?,
                    None => Vec::new(),
                };
                let (scales, bias) = (&scales, &bias);
                written(shape, sums, &Scaled { scales, bias })
            }
        }
    }
}

/// A tensor's numbers.
fn values<N: Datum + Copy>(tensor: &Tensor) -> TractResult<Vec<N>> {
    Ok(tensor.try_as_plain_ram()?.as_slice::<N>()?.to_vec())
}

fn written<F: FinishSums>(shape: &[usize], sums: &impl Sums, finish: &F) -> TractResult<Tensor>
where
    F::Output: Datum,
{
    let mut output = Tensor::zero_dt(F::Output::datum_type(), shape)?;
    let mut plain = output.try_as_plain_ram_mut()?;
    sums.store(finish, plain.as_slice_mut()?)?;
    Ok(output)
}
