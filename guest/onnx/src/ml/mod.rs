//! The operators of ai.onnx.ml: trees, linear models, support vectors, and what prepares features.
//!
//! tract has a few of them, and reads those only in part. ONNX says little of what they answer in rare
//! cases; there these do as ONNX Runtime does.

mod categories;
mod classes;
mod columns;
mod encode;
mod labels;
mod linear;
mod number;
mod rows;
mod scale;
mod svm;
mod transform;
mod trees;

use tract_onnx::Onnx;
use tract_onnx::pb::GraphProto;

pub use classes::ClassNames;
pub(crate) use classes::take_off_maps;

/// The domain of these operators.
const DOMAIN: &str = "ai.onnx.ml";

/// Whether a graph is one of tables: the inputs of such a graph are columns of the same rows.
pub(crate) fn is_of_tables(graph: &GraphProto) -> bool {
    graph.node.iter().any(|node| node.domain == DOMAIN)
}

/// Adds them to those that tract knows, or puts them in their place.
pub(crate) fn register(onnx: &mut Onnx) {
    let register = &mut onnx.op_register;
    register.insert("ArrayFeatureExtractor", columns::array_feature_extractor);
    register.insert("Binarizer", scale::binarizer);
    register.insert("CategoryMapper", encode::category_mapper);
    register.insert("FeatureVectorizer", columns::feature_vectorizer);
    register.insert("Imputer", scale::imputer);
    register.insert("LabelEncoder", encode::label_encoder);
    register.insert("LinearClassifier", linear::classifier);
    register.insert("LinearRegressor", linear::regressor);
    register.insert("Normalizer", scale::normalizer);
    register.insert("OneHotEncoder", encode::one_hot_encoder);
    register.insert("SVMClassifier", svm::classifier);
    register.insert("SVMRegressor", svm::regressor);
    register.insert("Scaler", scale::scaler);
    register.insert("TreeEnsemble", trees::tree_ensemble);
    register.insert("TreeEnsembleClassifier", trees::classifier);
    register.insert("TreeEnsembleRegressor", trees::regressor);
}
