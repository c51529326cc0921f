//! Both packings of a model: a test that was written for the plain one runs with the HTTP front, too.

use std::cell::Cell;

thread_local! {
    static BEHIND_FRONT: Cell<bool> = const { Cell::new(false) };
}

/// Whether the models of this test are packed with `--http`.
pub(crate) fn is_behind_front() -> bool {
    BEHIND_FRONT.get()
}

/// Runs a test on models behind the HTTP front.
pub(crate) fn with_front(test: fn()) {
    struct Reset;
    impl Drop for Reset {
        fn drop(&mut self) {
            BEHIND_FRONT.set(false);
        }
    }
    BEHIND_FRONT.set(true);
    let _reset = Reset;
    test();
}

/// Runs tests of a file once more, on models behind the HTTP front.
macro_rules! behind_front {
    ($($test:ident),* $(,)?) => {
        mod behind_front {
            $(
                #[test]
                fn $test() {
                    $crate::harness::packing::with_front(super::$test);
                }
            )*
        }
    };
}

pub(crate) use behind_front;
