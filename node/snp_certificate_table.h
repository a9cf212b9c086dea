#pragma once

#include "attestation/evidence.h"
#include "base/bytes.h"
#include "base/result.h"

#include <string>

namespace nostril::node {

/// The certificate table that a host gives its SNP guests beside a report (GHCB specification,
/// SNP extended guest request; configfs' auxblob). Integers little-endian:
///
///   off  size  field
///     0    16  GUID, in the order of its text form
///    16     4  offset from the table's begin
///    20     4  length
///    24        next entry; a zero GUID ends the list
///
///   63da758d-e664-4564-adc5-f4b93be8accd  VCEK     4ab7b379-bbac-4fe4-a02f-05aef327c782  ASK
///   a8074bc2-a25a-483e-aae6-39c045a0b8a1  VLEK     c0b406a4-a803-4952-9743-3fb6014cd0ae  ARK
///   92f81bc3-5811-4d3d-97ff-d19f88dc67ea  CRL      others are not looked at
///
/// The host writes it, so nothing in it is trusted: AMD's signatures decide. Pure. An empty table,
/// or one of zeros, is no certificates. With a VCEK the chain is that of the table when both ASK
/// and ARK are there; else it is empty, and AMD's own are taken. The error is one line.
[[nodiscard]] Result<attestation::SnpCertificates, std::string> parse_snp_certificate_table(
    ByteSpan table);

}  // namespace nostril::node
