//! Products of all kinds of shapes, with all that tract fuses with them, are those of a plain loop.
#![allow(
    unsafe_code,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests; running a kernel is unsafe by its trait"
)]

use tract_data::prelude::{Tensor, tensor0, tensor1};
use tract_linalg::BinOp;
use tract_linalg::mmm::{AsInputValue, FusedSpec, MatMatMul};

/// Around the edges of tiles (4, 8, 16), of unrolled loops (16, 32) and of parts in cache (256).
const ROWS: [usize; 8] = [1, 3, 4, 7, 8, 16, 17, 33];
const COLUMNS: [usize; 6] = [1, 2, 7, 8, 9, 17];
const DEPTHS: [usize; 9] = [1, 2, 15, 16, 31, 32, 33, 256, 300];

/// Names of our kernels.
const KERNELS: [&str; 4] = [
    "glovebox_4x8",
    "glovebox_8x8",
    "glovebox_16x8",
    "glovebox_16x1",
];

fn kernel(name: &str) -> Box<dyn MatMatMul> {
    glovebox_kernels::register();
    let kernels = tract_linalg::mmm_routines::declared().map(|routine| (routine.make)());
    let mut named = kernels.filter(|kernel| kernel.name() == name);
    let kernel = named.next().unwrap();
    assert!(named.next().is_none(), "{name} is there twice");
    kernel
}

/// Numbers that look random, the same in each run.
fn numbers(count: usize, seed: usize) -> Vec<f32> {
    let number = |index: usize| ((index * 7919 + seed * 104_729) % 2003) as f32 / 1000.0 - 1.0;
    (0..count).map(number).collect()
}

/// A product and what is fused with it.
struct Product {
    m: usize,
    k: usize,
    n: usize,
    a: Vec<f32>,
    b: Vec<f32>,
}

impl Product {
    fn new(m: usize, k: usize, n: usize) -> Self {
        let (a, b) = (numbers(m * k, 1), numbers(k * n, 2));
        Self { m, k, n, a, b }
    }

    /// Row by row.
    fn expected(&self, then: impl Fn(usize, usize, f32) -> f32) -> Vec<f32> {
        let value = |row: usize, column: usize| {
            let step = |k: usize| self.a[row * self.k + k] * self.b[k * self.n + column];
            then(row, column, (0..self.k).map(step).sum())
        };
        let rows = 0..self.m;
        rows.flat_map(|row| (0..self.n).map(move |column| value(row, column)))
            .collect()
    }

    /// Row by row, stored as the kernel is told: rows or columns side by side.
    fn computed(
        &self,
        kernel: &dyn MatMatMul,
        is_by_row: bool,
        fused: &[FusedSpec<'_>],
    ) -> Vec<f32> {
        let a = Tensor::from_shape(&[self.m, self.k], &self.a).unwrap();
        let b = Tensor::from_shape(&[self.k, self.n], &self.b).unwrap();
        let (packing_a, packing_b) = &kernel.packings()[0];
        let mut result = Tensor::zero::<f32>(&[self.m, self.n]).unwrap();
        if !is_by_row {
            result = Tensor::zero::<f32>(&[self.n, self.m]).unwrap();
        }
        let (m_axis, n_axis) = if is_by_row { (0, 1) } else { (1, 0) };
        let mut program = vec![FusedSpec::AddMatMul {
            a: AsInputValue::Owned(packing_a.prepare_one(&a, 1, 0).unwrap()),
            b: AsInputValue::Owned(packing_b.prepare_one(&b, 0, 1).unwrap()),
            packing: 0,
        }];
        program.extend_from_slice(fused);
        // SAFETY: the result has the shape that the axes say, and the panels are the kernel's.
        unsafe {
            let store = kernel
                .c_view(Some(m_axis), Some(n_axis))
                .wrap(&result.view_mut());
            program.push(FusedSpec::Store(store));
            kernel.run(self.m, self.n, &program).unwrap();
        }
        let result = result.try_as_plain_ram().unwrap();
        let values = result.as_slice::<f32>().unwrap();
        let at = |row: usize, column: usize| match is_by_row {
            true => values[row * self.n + column],
            false => values[column * self.m + row],
        };
        (0..self.m)
            .flat_map(|row| (0..self.n).map(move |column| at(row, column)))
            .collect()
    }
}

#[track_caller]
fn assert_close(computed: &[f32], expected: &[f32], what: &str) {
    assert_eq!(computed.len(), expected.len(), "{what}");
    for (index, (computed, expected)) in computed.iter().zip(expected).enumerate() {
        let is_close = (computed - expected).abs() <= 1e-4 * expected.abs().max(1.0);
        assert!(
            is_close,
            "{what}: value {index} is {computed}, not {expected}"
        );
    }
}

/// Which columns a kernel is for.
fn columns(kernel: &dyn MatMatMul) -> &'static [usize] {
    if kernel.nr() == 1 {
        &COLUMNS[..1]
    } else {
        &COLUMNS
    }
}

#[test]
fn products_of_all_shapes_are_those_of_a_plain_loop() {
    for name in KERNELS {
        let kernel = kernel(name);
        for (m, k) in ROWS.into_iter().flat_map(|m| DEPTHS.map(|k| (m, k))) {
            for n in columns(&*kernel) {
                let product = Product::new(m, k, *n);
                let computed = product.computed(&*kernel, true, &[]);
                let what = format!("{name}, {m} x {k} x {n}");
                assert_close(&computed, &product.expected(|_, _, x| x), &what);
            }
        }
    }
}

#[test]
fn results_are_stored_row_by_row_and_column_by_column() {
    for name in KERNELS {
        let kernel = kernel(name);
        for m in ROWS {
            for n in columns(&*kernel) {
                let product = Product::new(m, 5, *n);
                let by_row = product.computed(&*kernel, true, &[]);
                let by_column = product.computed(&*kernel, false, &[]);
                assert_eq!(by_row, by_column, "{name}, {m} x 5 x {n}");
            }
        }
    }
}

/// What an operation makes of its number and a value.
type Function = fn(f32, f32) -> f32;

/// Each operation with one number, in the order in which tract takes its operands.
const OPERATIONS: [(BinOp, Function); 6] = [
    (BinOp::Min, f32::min),
    (BinOp::Max, f32::max),
    (BinOp::Add, |value, x| value + x),
    (BinOp::Mul, |value, x| value * x),
    (BinOp::Sub, |value, x| value - x),
    (BinOp::SubF, |value, x| x - value),
];

/// Runs `fused` with each kernel on shapes with and without edges.
#[track_caller]
fn check(
    what: &str,
    fused: impl for<'a> Fn(&'a Tensor, &'a Tensor) -> FusedSpec<'a>,
    expected: impl Fn(f32, f32, f32) -> f32,
) {
    for name in KERNELS {
        let kernel = kernel(name);
        for m in ROWS {
            for n in columns(&*kernel) {
                let product = Product::new(m, 9, *n);
                let (rows, columns) = (numbers(m, 3), numbers(*n, 4));
                let (row_values, column_values) = (tensor1(&rows), tensor1(&columns));
                let fused = [fused(&row_values, &column_values)];
                let computed = product.computed(&*kernel, true, &fused);
                let expected =
                    product.expected(|row, column, x| expected(rows[row], columns[column], x));
                assert_close(
                    &computed,
                    &expected,
                    &format!("{what}, {name}, {m} x 9 x {n}"),
                );
            }
        }
    }
}

#[test]
fn a_number_is_fused_with_all_values() {
    let value = tensor0(0.25f32);
    for (operation, function) in OPERATIONS {
        for name in KERNELS {
            let (kernel, product) = (kernel(name), Product::new(19, 9, 1));
            let computed =
                product.computed(&*kernel, true, &[FusedSpec::BinScalar(&value, operation)]);
            let expected = product.expected(|_, _, x| function(0.25, x));
            assert_close(&computed, &expected, &format!("{operation:?}, {name}"));
        }
    }
}

#[test]
fn numbers_of_rows_are_fused_with_their_rows() {
    for (operation, function) in OPERATIONS {
        check(
            &format!("{operation:?} by row"),
            |rows, _| FusedSpec::BinPerRow(rows.view(), operation),
            |row, _, x| function(row, x),
        );
    }
}

#[test]
fn numbers_of_columns_are_fused_with_their_columns() {
    for (operation, function) in OPERATIONS {
        check(
            &format!("{operation:?} by column"),
            |_, columns| FusedSpec::BinPerCol(columns.view(), operation),
            |_, column, x| function(column, x),
        );
    }
}

#[test]
fn products_of_rows_and_columns_are_added() {
    check(
        "row times column",
        |rows, columns| FusedSpec::AddRowColProducts(rows, columns),
        |row, column, x| x + row * column,
    );
}

#[test]
fn negative_values_leak() {
    let slope = tensor0(0.1f32);
    for name in KERNELS {
        let (kernel, product) = (kernel(name), Product::new(19, 9, 1));
        let computed = product.computed(&*kernel, true, &[FusedSpec::LeakyRelu(&slope)]);
        let expected = product.expected(|_, _, x| if x > 0.0 { x } else { x * 0.1 });
        assert_close(&computed, &expected, name);
    }
}

#[test]
fn another_matrix_is_added_from_rows_or_columns() {
    for name in KERNELS {
        let kernel = kernel(name);
        for (m, n) in ROWS
            .into_iter()
            .flat_map(|m| columns(&*kernel).iter().map(move |n| (m, *n)))
        {
            for is_by_row in [true, false] {
                let (product, other) = (Product::new(m, 9, n), numbers(m * n, 5));
                let shape = if is_by_row { [m, n] } else { [n, m] };
                let tensor = Tensor::from_shape(&shape, &other).unwrap();
                let (m_axis, n_axis) = if is_by_row { (0, 1) } else { (1, 0) };
                // SAFETY: the tensor has the shape that the axes say.
                let view = unsafe {
                    kernel
                        .c_view(Some(m_axis), Some(n_axis))
                        .wrap(&tensor.view())
                };
                let computed = product.computed(&*kernel, true, &[FusedSpec::AddUnicast(view)]);
                let expected = product.expected(|row, column, x| match is_by_row {
                    true => x + other[row * n + column],
                    false => x + other[column * m + row],
                });
                assert_close(&computed, &expected, &format!("{name}, {m} x 9 x {n}"));
            }
        }
    }
}
