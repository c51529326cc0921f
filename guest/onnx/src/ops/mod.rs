//! Operators of ONNX that tract has not, or reads otherwise.

mod algebra;
mod arrange;
mod attention;
pub(crate) mod elements;
mod older;
pub(crate) mod operator;
mod quantize;
mod recurrent;
mod sampling;
mod select;
mod unique;

use operator::name_of_tracts;
use tract_onnx::Onnx;

/// Those that tract has too, and that ours leaves to it where it can.
const SHARED: [&str; 4] = ["Attention", "DequantizeLinear", "PRelu", "Resize"];

/// What [`crate::lower`] calls turning a tensor around, which ONNX has no operator for.
pub(crate) const FLIP: &str = "GloveboxFlip";

/// Adds them to those that tract knows.
pub(crate) fn register(onnx: &mut Onnx) {
    let register = &mut onnx.op_register;
    for operator in SHARED {
        if let Some(tracts) = register.0.get(operator).copied() {
            register.0.insert(name_of_tracts(operator), tracts);
        }
    }
    register.insert("AffineGrid", sampling::affine_grid);
    register.insert("Attention", attention::attention);
    register.insert("BitCast", algebra::bit_cast);
    register.insert("BitShift", select::bit_shift);
    register.insert("CenterCropPad", arrange::center_crop_pad);
    register.insert("Col2Im", algebra::col2im);
    register.insert("CumProd", algebra::cum_prod);
    register.insert("DequantizeLinear", quantize::dequantize);
    register.insert("DeformConv", sampling::deform_conv);
    register.insert("Det", algebra::det);
    register.insert("DynamicQuantizeLinear", quantize::dynamic_quantize);
    register.insert("GRU", recurrent::gru);
    register.insert("LSTM", recurrent::lstm);
    register.insert("MaxUnpool", arrange::max_unpool);
    register.insert("OneHot", select::one_hot);
    register.insert("PRelu", older::p_relu);
    register.insert("QuantizeLinear", quantize::quantize);
    register.insert("RNN", recurrent::rnn);
    register.insert("Resize", older::resize);
    register.insert("ReverseSequence", arrange::reverse_sequence);
    register.insert("RoiAlign", sampling::roi_align);
    register.insert("TensorScatter", arrange::tensor_scatter);
    register.insert("Unique", unique::unique);
    register.insert("Upsample", older::upsample);
    register.insert(FLIP, arrange::flip);
}
