//! A tile of the result and all that tract fuses with a product.
#![allow(unsafe_code, reason = "works on addresses that tract passes")]

use tract_linalg::mmm::{FusedKerSpec, OutputStoreKer};

use crate::lanes::{LANES, Lanes};

/// `ROWS` rows of `COLUMNS` values each; the number of values is a multiple of `4 * LANES`.
#[repr(C, align(16))]
pub(crate) struct Tile<const ROWS: usize, const COLUMNS: usize>([[f32; COLUMNS]; ROWS]);

impl<const ROWS: usize, const COLUMNS: usize> Tile<ROWS, COLUMNS> {
    const VALUES: usize = ROWS * COLUMNS;
    /// Columns are vectors, or there is one column and rows are.
    const IS_COLUMN: bool = COLUMNS == 1;

    pub(crate) fn zero() -> Self {
        Self([[0.0; COLUMNS]; ROWS])
    }

    /// The values from a row on.
    pub(crate) fn row(&mut self, row: usize) -> *mut f32 {
        self.0
            .as_mut_ptr()
            .cast::<f32>()
            .wrapping_add(row * COLUMNS)
    }

    /// Applies a fused operation that is no product. False: there is no such operation on numbers
    /// with a point.
    ///
    /// # Safety
    /// The pointers of `operation` are to what tract says they are: a value for each row or column,
    /// or a tile of memory.
    #[inline(always)]
    pub(crate) unsafe fn apply(&mut self, operation: &FusedKerSpec<f32>) -> bool {
        use FusedKerSpec as Op;
        let scaled = |exponent: i32| 2f32.powi(exponent);
        match *operation {
            Op::Clear => *self = Self::zero(),
            Op::ScalarMin(value) => self.with(value, |value, x| x.min(value)),
            Op::ScalarMax(value) => self.with(value, |value, x| x.max(value)),
            Op::ScalarAdd(value) => self.with(value, Lanes::add),
            Op::ScalarMul(value) => self.with(value, Lanes::mul),
            Op::ScalarSub(value) => self.with(value, Lanes::sub),
            Op::ScalarSubF(value) => self.with(value, |value, x| x.sub(value)),
            Op::LeakyRelu(slope) => self.with(slope, |slope, x| x.leaky(slope)),
            Op::QScale(shift, _, multiplier) => {
                self.with(multiplier as f32 * scaled(-(31 + shift as i32)), Lanes::mul);
            }
            Op::RoundingShiftRight(shift, _) => self.with(scaled(-(shift as i32)), Lanes::mul),
            Op::ShiftLeft(shift) => self.with(scaled(shift as i32), Lanes::mul),
            // SAFETY: the caller's promise.
            _ => return unsafe { self.apply_vector(operation) },
        }
        true
    }

    /// The operations with a value for each row or column.
    #[inline(always)]
    unsafe fn apply_vector(&mut self, operation: &FusedKerSpec<f32>) -> bool {
        use FusedKerSpec as Op;
        // SAFETY: the caller's promise.
        unsafe {
            match *operation {
                Op::PerRowMin(rows) => self.with_rows(rows, |row, x| x.min(row)),
                Op::PerRowMax(rows) => self.with_rows(rows, |row, x| x.max(row)),
                Op::PerRowAdd(rows) => self.with_rows(rows, Lanes::add),
                Op::PerRowMul(rows) => self.with_rows(rows, Lanes::mul),
                Op::PerRowSub(rows) => self.with_rows(rows, Lanes::sub),
                Op::PerRowSubF(rows) => self.with_rows(rows, |row, x| x.sub(row)),
                Op::PerColMin(columns) => self.with_columns(columns, |column, x| x.min(column)),
                Op::PerColMax(columns) => self.with_columns(columns, |column, x| x.max(column)),
                Op::PerColAdd(columns) => self.with_columns(columns, Lanes::add),
                Op::PerColMul(columns) => self.with_columns(columns, Lanes::mul),
                Op::PerColSub(columns) => self.with_columns(columns, Lanes::sub),
                Op::PerColSubF(columns) => self.with_columns(columns, |column, x| x.sub(column)),
                Op::AddRowColProducts(rows, columns) => {
                    self.each(|place, x| {
                        let row = Self::row_values(rows, place);
                        x.add(row.mul(Self::column_values(columns, place)))
                    });
                }
                _ => return self.apply_memory(operation),
            }
        }
        true
    }

    /// The operations with another tile.
    unsafe fn apply_memory(&mut self, operation: &FusedKerSpec<f32>) -> bool {
        use FusedKerSpec as Op;
        // SAFETY: the caller's promise.
        unsafe {
            match *operation {
                Op::LoadTile(_, rows) => self.each(|place, _| Lanes::load(rows.add(place))),
                Op::AddUnicast(other) => self.add(other),
                Op::Store(target) => self.store(target),
                _ => return false,
            }
        }
        true
    }

    /// Replaces each vector, given its place in the tile. Four at a time: the engine may stop the
    /// guest at the head of each loop, which takes as long as a vector.
    #[inline(always)]
    fn each(&mut self, function: impl Fn(usize, Lanes) -> Lanes) {
        let mut place = 0;
        while place < Self::VALUES {
            for place in [place, place + LANES, place + 2 * LANES, place + 3 * LANES] {
                // SAFETY: the number of values is a multiple of four vectors.
                unsafe {
                    let at = self.row(0).add(place);
                    function(place, Lanes::load(at)).store(at);
                }
            }
            place += 4 * LANES;
        }
    }

    #[inline(always)]
    fn with(&mut self, value: f32, function: impl Fn(Lanes, Lanes) -> Lanes) {
        let value = Lanes::splat(value);
        self.each(|_, x| function(value, x));
    }

    #[inline(always)]
    unsafe fn with_rows(&mut self, rows: *const f32, function: impl Fn(Lanes, Lanes) -> Lanes) {
        // SAFETY: the caller's promise.
        self.each(|place, x| function(unsafe { Self::row_values(rows, place) }, x));
    }

    #[inline(always)]
    unsafe fn with_columns(
        &mut self,
        columns: *const f32,
        function: impl Fn(Lanes, Lanes) -> Lanes,
    ) {
        // SAFETY: the caller's promise.
        self.each(|place, x| function(unsafe { Self::column_values(columns, place) }, x));
    }

    /// Of a value for each row, those of the vector at `place`.
    #[inline(always)]
    unsafe fn row_values(rows: *const f32, place: usize) -> Lanes {
        // SAFETY: the caller's promise.
        unsafe {
            match Self::IS_COLUMN {
                true => Lanes::load(rows.add(place)),
                false => Lanes::splat(*rows.add(place / COLUMNS)),
            }
        }
    }

    /// Of a value for each column, those of the vector at `place`.
    #[inline(always)]
    unsafe fn column_values(columns: *const f32, place: usize) -> Lanes {
        // SAFETY: the caller's promise.
        unsafe {
            match Self::IS_COLUMN {
                true => Lanes::splat(*columns),
                false => Lanes::load(columns.add(place % COLUMNS)),
            }
        }
    }

    unsafe fn add(&mut self, other: OutputStoreKer) {
        for (row, values) in (0..).zip(&mut self.0) {
            // SAFETY: `other` is a whole tile.
            unsafe {
                let from = other.ptr.offset(other.row_byte_stride * row);
                if other.col_byte_stride == 4 && !Self::IS_COLUMN {
                    for (place, x) in values.as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
                        let sum = Lanes::load(from.cast::<f32>().add(place * LANES));
                        sum.add(Lanes::load(x.as_ptr())).store(x.as_mut_ptr());
                    }
                } else {
                    for (column, x) in (0..).zip(values) {
                        *x += *from.offset(other.col_byte_stride * column).cast::<f32>();
                    }
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn store(&mut self, target: OutputStoreKer) {
        let (is_rows, is_columns) = (target.col_byte_stride == 4, target.row_byte_stride == 4);
        // SAFETY: the caller's promise.
        unsafe {
            match (Self::IS_COLUMN, is_rows, is_columns) {
                (false, true, _) => self.store_rows(target),
                (false, _, true) => self.store_turned(target),
                (true, _, true) => self.store_column(target),
                _ => self.store_values(target),
            }
        }
    }

    /// Stores to memory in which the values of a row lie side by side.
    #[inline(always)]
    unsafe fn store_rows(&mut self, target: OutputStoreKer) {
        let mut to = target.ptr;
        for row in (0..ROWS).step_by(2) {
            for row in [row, row + 1] {
                for column in (0..COLUMNS).step_by(LANES) {
                    // SAFETY: `target` is a whole tile, and tiles have an even number of rows.
                    unsafe {
                        let x = Lanes::load(self.row(row).add(column));
                        x.store(to.cast::<f32>().add(column));
                    }
                }
                to = to.wrapping_offset(target.row_byte_stride);
            }
        }
    }

    /// Stores to memory in which the values of a column lie side by side.
    #[inline(always)]
    unsafe fn store_turned(&mut self, target: OutputStoreKer) {
        for row in (0..ROWS).step_by(LANES) {
            for column in (0..COLUMNS).step_by(LANES) {
                // SAFETY: rows and columns are multiples of `LANES`, and `target` is a whole tile.
                unsafe {
                    let at = self.row(row).add(column);
                    let load = |row: usize| Lanes::load(at.add(row * COLUMNS));
                    let rows = [load(0), load(1), load(2), load(3)];
                    for (column, values) in (column as isize..).zip(Lanes::turn(rows)) {
                        let to = target.ptr.offset(target.col_byte_stride * column);
                        values.store(to.cast::<f32>().add(row));
                    }
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn store_column(&mut self, target: OutputStoreKer) {
        for row in (0..ROWS).step_by(LANES) {
            // SAFETY: rows are a multiple of `LANES`, and `target` is a whole tile.
            unsafe { Lanes::load(self.row(row)).store(target.ptr.cast::<f32>().add(row)) };
        }
    }

    unsafe fn store_values(&self, target: OutputStoreKer) {
        for (row, values) in (0..).zip(&self.0) {
            let to = target.ptr.wrapping_offset(target.row_byte_stride * row);
            for (column, x) in (0..).zip(values) {
                // SAFETY: `target` is a whole tile.
                unsafe {
                    to.offset(target.col_byte_stride * column)
                        .cast::<f32>()
                        .write(*x)
                };
            }
        }
    }
}
