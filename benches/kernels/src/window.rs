//! Convolutions and pooling.

use glovebox_kernels::{Filter, Finish, Geometry, Shape, Window, convolve_depthwise, pool_max};

use crate::work::{Make, numbers};

/// A window of so many rows and columns, and what is done with what it sees.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    Full(usize),
    Depthwise(usize),
    Maximum(usize),
}

/// A layer on one square image.
#[derive(Clone, Copy)]
pub(crate) struct Convolution {
    pub(crate) kind: Kind,
    pub(crate) channels: usize,
    pub(crate) rows: usize,
    pub(crate) size: usize,
    pub(crate) stride: usize,
}

const FINISH: Finish<'static> = Finish {
    bias: &[],
    addend: None,
    least: 0.0,
    most: f32::INFINITY,
};

impl Convolution {
    fn window(&self) -> usize {
        match self.kind {
            Kind::Full(window) | Kind::Depthwise(window) | Kind::Maximum(window) => window,
        }
    }

    pub(crate) fn geometry(&self) -> Geometry {
        let window = self.window();
        let output = self.size.div_ceil(self.stride);
        let window = Window {
            size: [window; 2],
            strides: [self.stride; 2],
            dilations: [1; 2],
        };
        Geometry::new(window, [self.size; 2], [self.window() / 2; 2], [output; 2])
    }

    /// The sizes of weights for integers.
    pub(crate) fn shape(&self) -> Shape {
        let places = self.window().pow(2);
        match self.kind {
            Kind::Depthwise(_) => Shape {
                groups: self.channels,
                rows: 1,
                depth: places,
            },
            _ => Shape {
                groups: 1,
                rows: self.rows,
                depth: self.channels * places,
            },
        }
    }

    fn filter(&self) -> Filter {
        Filter {
            groups: 1,
            rows: self.rows,
            channels: self.channels,
            places: self.window().pow(2),
        }
    }

    pub(crate) fn make(self) -> Make {
        Box::new(move || {
            let geometry = self.geometry();
            let places = self.window().pow(2);
            let image = numbers(self.channels * self.size.pow(2));
            let mut output = vec![0.0; self.rows * geometry.output_pixels()];
            let seen = match self.kind {
                Kind::Full(_) => self.channels * places,
                Kind::Depthwise(_) | Kind::Maximum(_) => places,
            };
            let operations = 2 * seen * output.len();
            let run: Box<dyn FnMut() -> bool> = match self.kind {
                Kind::Full(_) => {
                    let filter = self.filter();
                    let packed = filter.pack(&numbers(self.rows * self.channels * places));
                    Box::new(move || {
                        let done =
                            filter.convolve(&packed, &geometry, &image, &FINISH, &mut output);
                        done.is_ok()
                    })
                }
                Kind::Depthwise(_) => {
                    let filter = numbers(self.rows * places);
                    Box::new(move || {
                        let (rows, output) = (self.rows, &mut output);
                        convolve_depthwise(&filter, rows, 1, &geometry, &image, &FINISH, output)
                            .is_ok()
                    })
                }
                Kind::Maximum(_) => {
                    Box::new(move || pool_max(self.rows, &geometry, &image, &mut output).is_ok())
                }
            };
            (operations as f64, run)
        })
    }
}
