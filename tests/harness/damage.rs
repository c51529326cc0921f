//! Messages with random damage, the same each time; and files with other words.

/// A small generator with a fixed seed, so that a failure comes back.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound.max(1)
    }
}

/// The message with a few bytes changed, put in, taken out, doubled, or its end cut off.
pub(crate) fn damaged(message: &[u8], random: &mut Random) -> Vec<u8> {
    let mut message = message.to_vec();
    for _ in 0..=random.below(3) {
        let position = random.below(message.len());
        let byte = random.below(256) as u8;
        match random.below(6) {
            0 => message.insert(position, byte),
            1 if position < message.len() => _ = message.remove(position),
            2 => message.truncate(position),
            3 => {
                let end = (position + random.below(12)).min(message.len());
                let copy = message[position..end].to_vec();
                message.splice(position..position, copy);
            }
            _ if position < message.len() => message[position] ^= 1 << random.below(8),
            _ => {}
        }
    }
    message
}

/// A packed file whose metadata says something else from `start` to `end`, in no more letters.
pub(crate) fn reworded(file: &[u8], start: &str, end: &str, words: &str) -> Vec<u8> {
    let find = |from: usize, text: &str| {
        let mut windows = file[from..].windows(text.len());
        from + windows
            .position(|bytes| bytes == text.as_bytes())
            .expect("it is there")
    };
    let from = find(0, start);
    let to = find(from, end) + end.len();
    assert!(words.len() <= to - from, "{words} in {} letters", to - from);
    let blanks = " ".repeat(to - from - words.len());
    let words = words.bytes().chain(blanks.bytes());
    let words = words.collect::<Vec<_>>();
    [&file[..from], &words, &file[to..]].concat()
}
