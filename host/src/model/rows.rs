//! Tensors of several requests as one, row by row, and back.

use glovebox_protocol::{BytesElements, Datatype, Tensor};

/// Puts the inputs of requests one below the other. They have the same names in the same order, and
/// the same shapes but for their rows. None if they do not.
pub(super) fn stack<'a>(requests: impl Iterator<Item = &'a [Tensor]>) -> Option<Vec<Tensor>> {
    let requests: Vec<_> = requests.collect();
    let (first, _) = requests.split_first()?;
    let one = |index: usize| {
        let parts = requests.iter().map(|inputs| inputs.get(index));
        stack_one(&parts.collect::<Option<Vec<_>>>()?)
    };
    (0..first.len()).map(one).collect()
}

fn stack_one(parts: &[&Tensor]) -> Option<Tensor> {
    let first = parts.first()?;
    let mut shape = first.shape.clone();
    let mut rows: u64 = 0;
    let bytes = parts.iter().map(|part| part.data.len()).sum();
    let mut data = Vec::with_capacity(bytes);
    for part in parts {
        let (own, tail) = part.shape.split_first()?;
        if part.datatype != first.datatype || Some(tail) != first.shape.get(1..) {
            return None;
        }
        rows = rows.checked_add(*own)?;
        data.extend_from_slice(&part.data);
    }
    *shape.first_mut()? = rows;
    Some(Tensor {
        name: first.name.clone(),
        datatype: first.datatype,
        shape,
        data,
    })
}

/// Cuts outputs into those of requests that have so many rows each. None if an output has not as
/// many rows as all of them.
pub(super) fn split(outputs: &[Tensor], rows: &[u64]) -> Option<Vec<Vec<Tensor>>> {
    let mut requests: Vec<Vec<Tensor>> = rows.iter().map(|_| Vec::new()).collect();
    for output in outputs {
        let parts = split_one(output, rows)?;
        for (request, part) in requests.iter_mut().zip(parts) {
            request.push(part);
        }
    }
    Some(requests)
}

fn split_one(output: &Tensor, rows: &[u64]) -> Option<Vec<Tensor>> {
    let (all, tail) = output.shape.split_first()?;
    if *all != rows.iter().sum::<u64>() {
        return None;
    }
    let elements = output.elements()?.checked_div(*all)?;
    let mut rest = output.data.as_slice();
    let mut parts = Vec::with_capacity(rows.len());
    for own in rows {
        let length = length(rest, output.datatype, elements.checked_mul(*own)?)?;
        let (data, behind) = rest.split_at_checked(length)?;
        rest = behind;
        let mut shape = vec![*own];
        shape.extend_from_slice(tail);
        let part = Tensor::new(&output.name, output.datatype, shape, data);
        parts.push(part.ok()?);
    }
    rest.is_empty().then_some(parts)
}

/// How many bytes so many elements at the beginning of `data` take.
fn length(data: &[u8], datatype: Datatype, elements: u64) -> Option<usize> {
    let elements = usize::try_from(elements).ok()?;
    match datatype.element_bytes() {
        Some(size) => elements.checked_mul(size),
        None => {
            let mut walk = BytesElements::new(data);
            walk.by_ref().take(elements).for_each(drop);
            data.len().checked_sub(walk.rest().len())
        }
    }
}
