//! Numbers that lie side by side, a vector at a time.
//!
//! At the head of each loop the engine may stop the guest, which takes as long as some vectors. So loops
//! here do several of them in a turn, one after the other.
#![allow(unsafe_code, reason = "works on addresses within slices")]

use crate::finish::store_some;
use crate::lanes::{LANES, Lanes};

/// Vectors in a turn of a loop that does much with each of them.
const FEW: usize = 8;
/// Sums that [`fold`] makes side by side, so that none waits for the one before.
pub(crate) const SUMS: usize = 4;
/// Vectors of each of the sums in a turn of the loop.
const ROUNDS: usize = 4;

/// Sums of vectors, each of every fourth one. What is `beyond` the last number fills its vector.
///
/// Neither here nor in `step` is an iterator of vectors: it would stay a call, which passes them through
/// memory, for crates are compiled in parts.
#[inline(always)]
pub(crate) fn fold<Sum: Copy>(
    numbers: &[f32],
    beyond: f32,
    begin: Sum,
    step: impl Fn(Sum, Lanes) -> Sum,
) -> [Sum; SUMS] {
    let [mut a, mut b, mut c, mut d] = [begin; SUMS];
    let mut turns = numbers.chunks_exact(ROUNDS * SUMS * LANES);
    for turn in &mut turns {
        let mut at = turn.as_ptr();
        for _ in 0..ROUNDS {
            // SAFETY: a turn has so many vectors for each round.
            unsafe {
                a = step(a, Lanes::load(at));
                b = step(b, Lanes::load(at.add(LANES)));
                c = step(c, Lanes::load(at.add(2 * LANES)));
                d = step(d, Lanes::load(at.add(3 * LANES)));
            }
            at = at.wrapping_add(SUMS * LANES);
        }
    }
    for vector in turns.remainder().chunks(LANES) {
        a = step(a, filled(vector, beyond));
    }
    [a, b, c, d]
}

/// Replaces each vector, given its place. What is `beyond` the last number fills its vector.
#[inline(always)]
pub(crate) fn replace(
    numbers: &mut [f32],
    beyond: f32,
    mut function: impl FnMut(usize, Lanes) -> Lanes,
) {
    let mut place = 0;
    let mut turns = numbers.chunks_exact_mut(FEW * LANES);
    for turn in &mut turns {
        for vector in 0..FEW {
            let at = turn.as_mut_ptr().wrapping_add(vector * LANES);
            // SAFETY: a turn has so many vectors.
            unsafe { function(place + vector * LANES, Lanes::load(at)).store(at) };
        }
        place += FEW * LANES;
    }
    for vector in turns.into_remainder().chunks_mut(LANES) {
        let value = function(place, filled(vector, beyond));
        // SAFETY: there is room for so many.
        unsafe { store_some(value, vector.as_mut_ptr(), vector.len()) };
        place += LANES;
    }
}

/// A vector of at most four numbers, and what is beyond them.
#[inline(always)]
fn filled(numbers: &[f32], beyond: f32) -> Lanes {
    Lanes::of(match *numbers {
        [a, b, c, d] => [a, b, c, d],
        [a, b, c] => [a, b, c, beyond],
        [a, b] => [a, b, beyond, beyond],
        [a] => [a, beyond, beyond, beyond],
        _ => [beyond; LANES],
    })
}
