use proc_macro2::TokenStream;
use quote::quote;
use syn::ext::IdentExt;
use syn::{Error, ImplItem, ItemImpl, Result, Type};

mod client;
mod method;
mod trigger;

use method::Method;
use trigger::Trigger;

/// The connector's implementation, its typed client, and the export of the component's methods.
pub(crate) fn expand(arguments: TokenStream, block: &mut ItemImpl) -> Result<TokenStream> {
    if !arguments.is_empty() {
        return Err(Error::new_spanned(arguments, "`#[connector]` takes no arguments"));
    }
    if let Some((_, of, _)) = &block.trait_ {
        return Err(Error::new_spanned(of, "`#[connector]` belongs on an `impl` block without a trait"));
    }
    let (methods, triggers) = take(block)?;
    let name = &*block.self_ty;
    let implementation = implementation(name, &methods, &triggers);
    let client = client::expand(name, &methods);
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

/// The block's methods and triggers; their attributes are taken off. All faults are told at once.
fn take(block: &mut ItemImpl) -> Result<(Vec<Method>, Vec<Trigger>)> {
    let mut faults: Option<Error> = None;
    let mut add = |fault: Error| match &mut faults {
        Some(faults) => faults.combine(fault),
        none => *none = Some(fault),
    };
    let (mut methods, mut triggers) = (Vec::new(), Vec::new());
    let mut has_manifest = false;
    for item in &mut block.items {
        let ImplItem::Fn(function) = item else { continue };
        has_manifest |= function.sig.ident == "manifest";
        match Method::take(function) {
            Ok(method) => methods.extend(method),
            Err(fault) => add(fault),
        }
        match Trigger::take(function) {
            Ok(trigger) => triggers.extend(trigger),
            Err(fault) => add(fault),
        }
    }
    if !has_manifest {
        let message =
            "a connector says what it is: add `fn manifest() -> Manifest { Manifest::new(\"name\", \"Title\") }`";
        add(Error::new_spanned(&block.self_ty, message));
    }
    if methods.is_empty() && triggers.is_empty() && faults.is_none() {
        let message = "a connector has at least one method: put `#[method]` on a function";
        return Err(Error::new_spanned(&block.self_ty, message));
    }
    faults.map_or(Ok((methods, triggers)), Err)
}

fn implementation(name: &Type, methods: &[Method], triggers: &[Trigger]) -> TokenStream {
    let entries = methods.iter().map(Method::entry);
    let trigger_entries = triggers.iter().map(|trigger| trigger.entry(name));
    let poll = (!triggers.is_empty()).then(|| poll(name, triggers));
    let arms = methods.iter().map(|method| method.arm(name));
    let names = methods.iter().map(|method| method.name.unraw().to_string());
    quote! {
        impl ::headgate_sdk::Connector for #name {
            fn describe() -> ::headgate_sdk::manifest::Manifest {
                let manifest: ::headgate_sdk::manifest::Manifest = <#name>::manifest();
                ::headgate_sdk::rt::complete(manifest, ::core::env!("CARGO_PKG_VERSION"), ::std::vec![#(#entries),*], ::std::vec![#(#trigger_entries),*])
            }

            fn invoke(method: &str, input: &str) -> ::headgate_sdk::Result<::std::string::String> {
                match method {
                    #(#arms)*
                    other => ::core::result::Result::Err(::headgate_sdk::rt::method_not_found(other, &[#(#names),*])),
                }
            }

            #poll
        }
    }
}

/// How a connector that has triggers is polled; without them the trait says that there are none.
fn poll(name: &Type, triggers: &[Trigger]) -> TokenStream {
    let arms = triggers.iter().map(|trigger| trigger.arm(name));
    let names = triggers.iter().map(|trigger| trigger.name.unraw().to_string());
    quote! {
        fn poll(
            trigger: &str,
            input: &str,
            cursor: ::core::option::Option<&str>,
        ) -> ::headgate_sdk::Result<::std::string::String> {
            match trigger {
                #(#arms)*
                other => ::core::result::Result::Err(::headgate_sdk::rt::trigger_not_found(other, &[#(#names),*])),
            }
        }
    }
}
