//! Products of matrices through the registry of tract-linalg, as tract runs them.
#![allow(unsafe_code, reason = "running a kernel is unsafe by its trait")]

use tract_data::internal::format_err;
use tract_data::prelude::{Tensor, TractResult};
use tract_linalg::mmm::{AsInputValue, FusedSpec, MatMatMul};
use tract_linalg::mmm_routines;

use crate::work::{Make, numbers};

/// `m` rows times `n` columns of `k` numbers each.
#[derive(Clone, Copy)]
pub(crate) struct Product {
    pub(crate) kernel: &'static str,
    pub(crate) m: usize,
    pub(crate) k: usize,
    pub(crate) n: usize,
}

impl Product {
    pub(crate) fn make(self) -> Make {
        Box::new(move || {
            let Self { m, k, n, .. } = self;
            let mut prepared = self.prepare().ok();
            let run = move || prepared.as_mut().is_some_and(|run| run().is_ok());
            ((2 * m * k * n) as f64, Box::new(run))
        })
    }

    /// Packs the operands; what is returned multiplies them.
    fn prepare(self) -> TractResult<impl FnMut() -> TractResult<()>> {
        let Self { m, k, n, .. } = self;
        let kernel = self.kernel()?;
        let (a, b) = kernel
            .packings()
            .first()
            .ok_or_else(|| format_err!("a kernel without panels"))?;
        let a = a.prepare_one(&Tensor::from_shape(&[m, k], &numbers(m * k))?, 1, 0)?;
        let b = b.prepare_one(&Tensor::from_shape(&[k, n], &numbers(k * n))?, 0, 1)?;
        let mut result = Tensor::zero::<f32>(&[m, n])?;
        Ok(move || {
            // SAFETY: the result has the shape that the axes say, and the panels are the kernel's.
            unsafe {
                let store = kernel.c_view(Some(0), Some(1)).wrap(&result.view_mut());
                let product = FusedSpec::AddMatMul {
                    a: AsInputValue::Borrowed(&*a),
                    b: AsInputValue::Borrowed(&*b),
                    packing: 0,
                };
                kernel.run(m, n, &[product, FusedSpec::Store(store)])
            }
        })
    }

    fn kernel(&self) -> TractResult<Box<dyn MatMatMul>> {
        glovebox_kernels::register();
        let mut kernels = mmm_routines::declared().map(|routine| (routine.make)());
        let kernel = kernels.find(|kernel| kernel.name() == self.kernel);
        kernel.ok_or_else(|| format_err!("no kernel {:?}", self.kernel))
    }
}
