//! weft
fn main(){}
