//! What there is to do.

use crate::product::Product;
use crate::quantized;
use crate::window::{Convolution, Kind};

/// A prepared work.
pub(crate) struct Work {
    pub(crate) name: &'static str,
    /// Multiplications and additions.
    pub(crate) operations: f64,
    run: Box<dyn FnMut() -> bool>,
}

/// Prepares a work: how many operations it has, and itself.
pub(crate) type Make = Box<dyn FnOnce() -> (f64, Box<dyn FnMut() -> bool>)>;

impl Work {
    pub(crate) fn new(name: &'static str, make: Make) -> Self {
        let (operations, run) = make();
        Self {
            name,
            operations,
            run,
        }
    }

    pub(crate) fn run(&mut self) -> bool {
        (self.run)()
    }
}

/// All works: products as a transformer has them, and layers of well-known networks.
pub(crate) fn table() -> Vec<(&'static str, Make)> {
    let product = |kernel, m, k, n| Product { kernel, m, k, n }.make();
    let convolution = |kind, channels, rows, size, stride| Convolution {
        kind,
        channels,
        rows,
        size,
        stride,
    };
    let layer =
        |kind, channels, rows, size, stride| convolution(kind, channels, rows, size, stride).make();
    let integers = |kind, channels, rows, size, stride| {
        convolution(kind, channels, rows, size, stride).make_quantized()
    };
    let product_of_integers = |rows, depth, columns| {
        let product = quantized::Product {
            rows,
            depth,
            columns,
        };
        product.make()
    };
    vec![
        (
            "product 128 x 256 x 256",
            product("glovebox_16x8", 128, 256, 256),
        ),
        (
            "product 384 x 384 x 128",
            product("glovebox_16x8", 384, 384, 128),
        ),
        (
            "product 384 x 1536 x 128",
            product("glovebox_16x8", 384, 1536, 128),
        ),
        (
            "product with a vector 1024 x 1024",
            product("glovebox_16x1", 1024, 1024, 1),
        ),
        (
            "tract's product 384 x 384 x 128",
            product("wasm_f32_8x8", 384, 384, 128),
        ),
        (
            "convolution 1 x 1, 256 to 64, 56 x 56",
            layer(Kind::Full(1), 256, 64, 56, 1),
        ),
        (
            "convolution 1 x 1, 1024 to 256, 14 x 14",
            layer(Kind::Full(1), 1024, 256, 14, 1),
        ),
        (
            "convolution 3 x 3, 64 to 64, 56 x 56",
            layer(Kind::Full(3), 64, 64, 56, 1),
        ),
        (
            "convolution 3 x 3, 256 to 256, 14 x 14",
            layer(Kind::Full(3), 256, 256, 14, 1),
        ),
        (
            "convolution 3 x 3 / 2, 128 to 128, 56 x 56",
            layer(Kind::Full(3), 128, 128, 56, 2),
        ),
        (
            "convolution 7 x 7 / 2, 3 to 64, 224 x 224",
            layer(Kind::Full(7), 3, 64, 224, 2),
        ),
        (
            "depthwise 3 x 3, 96 channels, 56 x 56",
            layer(Kind::Depthwise(3), 96, 96, 56, 1),
        ),
        (
            "maximum 3 x 3 / 2, 64 channels, 112 x 112",
            layer(Kind::Maximum(3), 64, 64, 112, 2),
        ),
        (
            "integers, product 128 x 256 x 256",
            product_of_integers(128, 256, 256),
        ),
        (
            "integers, product 128 x 1536 x 384",
            product_of_integers(128, 1536, 384),
        ),
        (
            "integers, product 1 x 1024 x 1024",
            product_of_integers(1, 1024, 1024),
        ),
        (
            "integers, 1 x 1, 256 to 64, 56 x 56",
            integers(Kind::Full(1), 256, 64, 56, 1),
        ),
        (
            "integers, 3 x 3, 64 to 64, 56 x 56",
            integers(Kind::Full(3), 64, 64, 56, 1),
        ),
        (
            "integers, 3 x 3, 256 to 256, 14 x 14",
            integers(Kind::Full(3), 256, 256, 14, 1),
        ),
        (
            "integers, 3 x 3 / 2, 128 to 128, 56 x 56",
            integers(Kind::Full(3), 128, 128, 56, 2),
        ),
        (
            "integers, depthwise 3 x 3, 96 channels, 56 x 56",
            integers(Kind::Depthwise(3), 96, 96, 56, 1),
        ),
    ]
}

/// Numbers that look random, the same in each run.
pub(crate) fn numbers(count: usize) -> Vec<f32> {
    let number = |index: usize| (index % 2003 * 7919 % 2003) as f32 / 1000.0 - 1.0;
    (0..count).map(number).collect()
}
