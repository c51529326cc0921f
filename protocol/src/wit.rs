//! The types of `wit/world.wit` as those of this crate.

/// Writes the conversions between this crate's types and those that a generator of bindings made of
/// the interface `model`; `$wit` is the module that holds them. Each user generates its own, with
/// the same fields, so the conversions are written here once.
#[macro_export]
macro_rules! convert_wit {
    ($wit:path) => {
        const _: () = {
            use $wit as wit;

            impl From<wit::ModelSignature> for $crate::Signature {
                fn from(signature: wit::ModelSignature) -> Self {
                    let specs =
                        |specs: Vec<wit::TensorSpec>| specs.into_iter().map(Into::into).collect();
                    Self {
                        inputs: specs(signature.inputs),
                        outputs: specs(signature.outputs),
                        media: signature.media,
                    }
                }
            }

            $crate::convert_wit!(@spec $crate::TensorSpec, wit::TensorSpec);
            $crate::convert_wit!(@spec wit::TensorSpec, $crate::TensorSpec);

            impl From<$crate::Tensor> for wit::Tensor {
                fn from(tensor: $crate::Tensor) -> Self {
                    Self {
                        name: tensor.name,
                        datatype: tensor.datatype.into(),
                        shape: tensor.shape,
                        data: tensor.data,
                    }
                }
            }

            impl TryFrom<wit::Tensor> for $crate::Tensor {
                type Error = $crate::Error;

                fn try_from(tensor: wit::Tensor) -> Result<Self, $crate::Error> {
                    Self::new(tensor.name, tensor.datatype.into(), tensor.shape, tensor.data)
                }
            }

            $crate::convert_wit!(@datatype $crate::Datatype, wit::Datatype);
            $crate::convert_wit!(@datatype wit::Datatype, $crate::Datatype);
        };
    };
    (@spec $from:path, $to:path) => {
        impl From<$from> for $to {
            fn from(spec: $from) -> Self {
                Self {
                    name: spec.name,
                    datatype: spec.datatype.into(),
                    shape: spec.shape,
                }
            }
        }
    };
    (@datatype $from:ty, $to:ty) => {
        $crate::convert_wit!(@datatype $from, $to:
            Bool, Uint8, Uint16, Uint32, Uint64, Int8, Int16, Int32, Int64, Fp16, Bf16, Fp32, Fp64,
            Bytes
        );
    };
    (@datatype $from:ty, $to:ty: $($name:ident),*) => {
        impl From<$from> for $to {
            fn from(datatype: $from) -> Self {
                match datatype { $(<$from>::$name => Self::$name),* }
            }
        }
    };
}
