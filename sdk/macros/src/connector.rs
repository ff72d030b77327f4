use proc_macro2::TokenStream;
use quote::quote;
use syn::ext::IdentExt;
use syn::{Error, ImplItem, ItemImpl, Result, Type};

mod client;
mod method;

use method::Method;

/// The connector's implementation, its typed client, and the export of the component's methods.
pub(crate) fn expand(arguments: TokenStream, block: &mut ItemImpl) -> Result<TokenStream> {
    if !arguments.is_empty() {
        return Err(Error::new_spanned(arguments, "`#[connector]` takes no arguments"));
    }
    if let Some((_, of, _)) = &block.trait_ {
        return Err(Error::new_spanned(of, "`#[connector]` belongs on an `impl` block without a trait"));
    }
    let methods = take_methods(block)?;
    let name = &*block.self_ty;
    let implementation = implementation(name, &methods);
    let client = client::expand(&methods);
    Ok(quote! {
        #implementation
        #client
        #[cfg(all(target_arch = "wasm32", feature = "component"))]
        const _: () = {
            type Exported = ::headgate_sdk::rt::ExportedConnector<#name>;
            ::headgate_sdk::rt::connector::export_connector!(Exported with_types_in ::headgate_sdk::rt::connector);
        };
    })
}

/// The block's methods; their `#[method]` attributes are taken off. All faults are told at once.
fn take_methods(block: &mut ItemImpl) -> Result<Vec<Method>> {
    let mut faults: Option<Error> = None;
    let mut add = |fault: Error| match &mut faults {
        Some(faults) => faults.combine(fault),
        none => *none = Some(fault),
    };
    let mut methods = Vec::new();
    let mut has_manifest = false;
    for item in &mut block.items {
        let ImplItem::Fn(function) = item else { continue };
        has_manifest |= function.sig.ident == "manifest";
        match Method::take(function) {
            Ok(method) => methods.extend(method),
            Err(fault) => add(fault),
        }
    }
    if !has_manifest {
        let message =
            "a connector says what it is: add `fn manifest() -> Manifest { Manifest::new(\"name\", \"Title\") }`";
        add(Error::new_spanned(&block.self_ty, message));
    }
    if methods.is_empty() && faults.is_none() {
        let message = "a connector has at least one method: put `#[method]` on a function";
        return Err(Error::new_spanned(&block.self_ty, message));
    }
    faults.map_or(Ok(methods), Err)
}

fn implementation(name: &Type, methods: &[Method]) -> TokenStream {
    let entries = methods.iter().map(Method::entry);
    let arms = methods.iter().map(|method| method.arm(name));
    let names = methods.iter().map(|method| method.name.unraw().to_string());
    quote! {
        impl ::headgate_sdk::Connector for #name {
            fn describe() -> ::headgate_sdk::manifest::Manifest {
                let manifest: ::headgate_sdk::manifest::Manifest = <#name>::manifest();
                ::headgate_sdk::rt::complete(manifest, ::core::env!("CARGO_PKG_VERSION"), ::std::vec![#(#entries),*])
            }

            fn invoke(method: &str, input: &str) -> ::headgate_sdk::Result<::std::string::String> {
                match method {
                    #(#arms)*
                    other => ::core::result::Result::Err(::headgate_sdk::rt::method_not_found(other, &[#(#names),*])),
                }
            }
        }
    }
}
