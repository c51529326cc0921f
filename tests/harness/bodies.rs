//! Bodies of `infer` and `predict` for the components of `guest.rs`: what hostile guests do.
//!
//! Layout of what they answer: `infer` at 2048, its tensors at 8192; `predict` at 3072.

/// Answers at once: no tensors.
pub(crate) const ANSWER: &str = "(i32.const 2048)";

/// Never ends.
pub(crate) const SPIN: &str = "(loop (br 0)) unreachable";

/// Calls itself without end.
pub(crate) const RECURSE: &str = "(call $recurse (i32.const 1))";

/// Takes memory until there is no more.
pub(crate) const GROW: &str =
    "(loop (br_if 0 (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) unreachable";

pub(crate) const TRAP: &str = "unreachable";

/// Says that it answers with more tensors than its memory could hold.
pub(crate) const CLAIM: &str = "(i32.store (i32.const 2052) (i32.const 2048))
    (i32.store (i32.const 2056) (i32.const 0x10000000)) (i32.const 2048)";

/// Answers with one tensor of 65 MiB, which it really has.
pub(crate) const FLOOD: &str = "(drop (memory.grow (i32.const 1100)))
    (i32.store (i32.const 2052) (i32.const 6000)) (i32.store (i32.const 2056) (i32.const 1))
    (i32.store (i32.const 6024) (i32.const 68157440)) (i32.const 2048)";

/// Answers with a tensor that its signature does not have.
pub(crate) const UNDECLARED: &str = "(i32.store (i32.const 2052) (i32.const 6000))
    (i32.store (i32.const 2056) (i32.const 1)) (i32.const 2048)";

/// Answers with an error whose text wants to move a terminal's cursor and forge a line.
pub(crate) const FORGE: &str = "(i32.store8 (i32.const 2048) (i32.const 1))
    (i32.store (i32.const 2056) (i32.const 4200)) (i32.store (i32.const 2060) (i32.const 12))
    (i32.const 2048)";

/// Says itself that it failed, and why.
pub(crate) const FAIL: &str = "(i32.store8 (i32.const 2048) (i32.const 1))
    (i32.store8 (i32.const 2052) (i32.const 3)) (i32.store (i32.const 2056) (i32.const 4096))
    (i32.store (i32.const 2060) (i32.const 10)) (i32.const 2048)";

/// Burns CPU time before it answers: some nanoseconds a round.
pub(crate) fn burn(rounds: u64) -> String {
    format!("(call $burn (i64.const {rounds})) (i32.const 2048)")
}

/// Calls itself twice, 60 deep: no loop, and no end.
pub(crate) const BRANCH: &str = "(drop (call $branch (i32.const 60))) (i32.const 2048)";

/// Writes all of its memory again and again, in the largest pieces that there are.
pub(crate) const FILL: &str = "(loop
    (memory.fill (i32.const 0) (i32.const 7) (i32.mul (memory.size) (i32.const 65536))) (br 0))
    unreachable";

/// The same with copies: the upper half on the lower.
pub(crate) const COPY: &str = "(local $half i32)
    (local.set $half (i32.mul (memory.size) (i32.const 32768)))
    (loop (memory.copy (i32.const 0) (local.get $half) (local.get $half)) (br 0)) unreachable";

/// One table to grow.
pub(crate) const TABLE: &str = "(table $table 0 funcref)";

/// A large table, of which a part stays in the host's memory from one instance to the next.
pub(crate) const LARGE_TABLE: &str = "(table $table 40000 funcref) (elem declare func $burn)";

/// Writes to all elements of `$table`.
pub(crate) const SOIL_TABLE: &str =
    "(table.fill $table (i32.const 0) (ref.func $burn) (table.size $table)) (i32.const 2048)";

/// Looks at all elements of `$table`; traps if one is not null.
pub(crate) const LOOK_INTO_TABLE: &str = "(local $at i32)
    (loop (if (i32.eqz (ref.is_null (table.get $table (local.get $at)))) (then unreachable))
      (local.set $at (i32.add (local.get $at) (i32.const 1)))
      (br_if 0 (i32.lt_u (local.get $at) (table.size $table)))) (i32.const 2048)";

/// Recurses so deep, and answers.
pub(crate) fn deep(calls: u32) -> String {
    format!("(drop (call $deep (i32.const {calls}))) (i32.const 2048)")
}

/// Grows by so many pages and answers; traps if they are not given.
pub(crate) fn grow(pages: u32) -> String {
    format!(
        "(if (i32.eq (memory.grow (i32.const {pages})) (i32.const -1)) (then unreachable)) (i32.const 2048)"
    )
}

/// Grows `$table` by so many elements and answers; traps if they are not given.
pub(crate) fn grow_table(elements: u32) -> String {
    format!(
        "(if (i32.eq (table.grow $table (ref.null func) (i32.const {elements})) (i32.const -1))
           (then unreachable)) (i32.const 2048)"
    )
}

/// Grows by so many pages and writes a byte into all of its memory.
pub(crate) fn soil(pages: u32) -> String {
    format!(
        "(drop (memory.grow (i32.const {pages})))
        (memory.fill (i32.const 65536) (i32.const 0xAA)
          (i32.mul (i32.sub (memory.size) (i32.const 1)) (i32.const 65536)))
        (drop (call $deep (i32.const 5000))) (i32.const 2048)"
    )
}

/// Grows by so many pages and traps if any of its memory beyond the first page is not zero.
pub(crate) fn look(pages: u32) -> String {
    format!(
        "(local $at i32) (drop (memory.grow (i32.const {pages}))) (local.set $at (i32.const 65536))
        (loop (if (i64.ne (i64.load (local.get $at)) (i64.const 0)) (then unreachable))
          (local.set $at (i32.add (local.get $at) (i32.const 8)))
          (br_if 0 (i32.lt_u (local.get $at) (i32.mul (memory.size) (i32.const 65536)))))
        (i32.const 2048)"
    )
}

/// `predict` that answers with so many bytes.
pub(crate) fn output(bytes: u32) -> String {
    format!(
        "(drop (memory.grow (i32.const {})))
        (i32.store (i32.const 3076) (i32.const 4096)) (i32.store (i32.const 3080) (i32.const 10))
        (i32.store (i32.const 3084) (i32.const 8192)) (i32.store (i32.const 3088) (i32.const {bytes}))
        (i32.const 3072)",
        bytes / 65536 + 2
    )
}

/// `predict` that answers with a content type of these bytes and no body.
pub(crate) fn content_type(bytes: &[u8]) -> String {
    let stores = bytes.iter().enumerate().map(|(index, byte)| {
        format!(
            "(i32.store8 (i32.const {}) (i32.const {byte}))",
            7000 + index
        )
    });
    format!(
        "{} (i32.store (i32.const 3076) (i32.const 7000)) (i32.store (i32.const 3080) (i32.const {}))
        (i32.const 3072)",
        stores.collect::<String>(),
        bytes.len()
    )
}

/// `signature` that declares one output: `y`, FP32, of any length.
pub(crate) const DECLARE: &str =
    "(i32.store (i32.const 1032) (i32.const 1100)) (i32.store (i32.const 1036) (i32.const 1))
    (i32.store (i32.const 1100) (i32.const 1200)) (i32.store (i32.const 1104) (i32.const 1))
    (i32.store8 (i32.const 1200) (i32.const 121)) (i32.store8 (i32.const 1108) (i32.const 11))
    (i32.store (i32.const 1112) (i32.const 1208)) (i32.store (i32.const 1116) (i32.const 1))
    (i64.store (i32.const 1208) (i64.const -1)) (i32.const 1024)";

/// One tensor that `infer` answers, as its fields lie in memory.
#[derive(Clone, Copy)]
pub(crate) struct Output<'a> {
    pub(crate) name: u8,
    pub(crate) datatype: u8,
    pub(crate) shape: &'a [u64],
    pub(crate) data: &'a [u32],
    /// How often the tensor stands in the list, each time the same bytes.
    pub(crate) times: u32,
    /// Where the list says that it begins; 8192 is right.
    pub(crate) at: u32,
}

/// What [`DECLARE`] declares, with two elements.
pub(crate) const RIGHT: Output<'static> = Output {
    name: b'y',
    datatype: 11,
    shape: &[2],
    data: &[0x3f80_0000, 0x4000_0000],
    times: 1,
    at: 8192,
};

impl Output<'_> {
    /// The body of `infer` that answers it.
    pub(crate) fn infer(&self) -> String {
        let shape = self.shape.iter().enumerate().map(|(index, size)| {
            format!(
                "(i64.store (i32.const {}) (i64.const {}))",
                7104 + 8 * index,
                *size as i64
            )
        });
        let data = self.data.iter().enumerate().map(|(index, bits)| {
            format!(
                "(i32.store (i32.const {}) (i32.const {}))",
                7400 + 4 * index,
                *bits as i32
            )
        });
        let values: String = shape.chain(data).collect();
        let fields = [
            7000,
            1,
            self.datatype.into(),
            7104,
            self.shape.len(),
            7400,
            4 * self.data.len(),
        ];
        let offsets = [0, 4, 8, 12, 16, 20, 24];
        let stores: String = offsets
            .iter()
            .zip(fields)
            .map(|(offset, value)| {
                format!(
                    "(i32.store (i32.add (local.get $at) (i32.const {offset})) (i32.const {value}))"
                )
            })
            .collect();
        format!(
            "(local $at i32) (local $left i32) {values} (i32.store8 (i32.const 7000) (i32.const {name}))
            (local.set $at (i32.const 8192)) (local.set $left (i32.const {times}))
            (loop {stores} (local.set $at (i32.add (local.get $at) (i32.const 28)))
              (local.set $left (i32.sub (local.get $left) (i32.const 1)))
              (br_if 0 (local.get $left)))
            (i32.store (i32.const 2052) (i32.const {at})) (i32.store (i32.const 2056) (i32.const {times}))
            (i32.const 2048)",
            name = self.name,
            times = self.times,
            at = self.at,
        )
    }
}
