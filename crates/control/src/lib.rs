//! Control: accounts' keys, the catalogue, the link to gateways, the operator interface. Holds no content.

pub mod start;
