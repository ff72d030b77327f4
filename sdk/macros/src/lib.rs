//! The attribute macros of `headgate-sdk`; documented there.

mod connector;
mod flow;

use proc_macro::TokenStream;
use quote::quote;
use syn::{ItemFn, ItemImpl, parse_macro_input};

/// Makes a function a flow. See the documentation of `headgate_sdk`.
#[proc_macro_attribute]
pub fn flow(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let mut function = parse_macro_input!(item as ItemFn);
    let export = flow::expand(arguments.into(), &mut function).unwrap_or_else(|error| error.to_compile_error());
    // The function stays even where it is no flow: its own errors are told too, and no others follow.
    quote!(#function #export).into()
}

/// Makes the functions of an `impl` block the methods of a connector. See the documentation of `headgate_sdk`.
#[proc_macro_attribute]
pub fn connector(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let mut block = parse_macro_input!(item as ItemImpl);
    let export = connector::expand(arguments.into(), &mut block).unwrap_or_else(|error| error.to_compile_error());
    quote!(#block #export).into()
}
