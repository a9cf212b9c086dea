#include "attestation/pack.h"

#include "base/base64.h"
#include "tests/attestation/fixtures.h"

#include <gtest/gtest.h>

#include <zstd.h>

#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace nostril::attestation {
namespace {

Evidence evidence() {
  return test::sound_evidence(test::simulator());
}

Bytes compress(ByteSpan data) {
  Bytes out(ZSTD_compressBound(data.size()));
  out.resize(ZSTD_compress(out.data(), out.size(), data.data(), data.size(), 3));
  return out;
}

std::string pack_container(const Bytes& container) {
  return encode_base64(compress(container));
}

Bytes container_of(const Evidence& wanted) {
  const Bytes frame = decode_base64(pack_evidence(wanted)).value();
  Bytes out(ZSTD_getFrameContentSize(frame.data(), frame.size()));
  EXPECT_EQ(ZSTD_decompress(out.data(), out.size(), frame.data(), frame.size()), out.size());
  return out;
}

PackError error_of(const std::string& packed, const PackLimits& limits = {}) {
  const auto result = unpack_evidence(packed, limits);
  EXPECT_FALSE(result.has_value());
  return result ? PackError::TooLarge : result.error();
}

TEST(PackEvidence, RoundTripsWithAndWithoutItsParts) {
  Evidence full = evidence();
  full.gpu_reports = {Bytes{1, 2, 3}, Bytes{}, Bytes(5000, 9)};
  EXPECT_EQ(unpack_evidence(pack_evidence(full)).value(), full);
  full.collateral.reset();
  EXPECT_EQ(unpack_evidence(pack_evidence(full)).value(), full);
  full.gpu_reports.clear();
  EXPECT_EQ(unpack_evidence(pack_evidence(full)).value(), full);
}

TEST(PackEvidence, IsSmallEnoughForOneEvent) {
  // Relays commonly take 64 KiB of content.
  EXPECT_LT(pack_evidence(evidence()).size(), 16U << 10U);
}

TEST(UnpackEvidence, RefusesEveryTruncationOfTheContainer) {
  const Bytes container = container_of(evidence());
  Evidence without = evidence();
  without.collateral.reset();
  const std::size_t whole_without = container_of(without).size();
  for (std::size_t size = 0; size < container.size(); size += size < 700 ? 1 : 37) {
    if (size == whole_without) continue;  // that is evidence without collateral
    const Bytes cut(container.begin(), container.begin() + static_cast<std::ptrdiff_t>(size));
    ASSERT_EQ(error_of(pack_container(cut)), PackError::BadContainer) << size;
  }
}

TEST(UnpackEvidence, RefusesOtherMagicVersionTypesAndOrder) {
  const Bytes container = container_of(evidence());
  for (const std::size_t offset : {0U, 3U, 4U, 5U, 6U, 9U}) {
    Bytes changed = container;
    changed.at(offset) ^= 1;
    EXPECT_EQ(error_of(pack_container(changed)), PackError::BadContainer) << offset;
  }
  Bytes longer = container;
  longer.insert(longer.end(), {99, 0, 0, 0, 0});
  EXPECT_EQ(error_of(pack_container(longer)), PackError::BadContainer);
}

TEST(UnpackEvidence, RefusesTooManyGpuReports) {
  Evidence most = evidence();
  most.collateral.reset();
  most.gpu_reports.assign(kGpuReportCountMax, Bytes{1});
  Bytes container = container_of(most);
  EXPECT_TRUE(unpack_evidence(pack_container(container)));
  container.insert(container.end(), {4, 0, 0, 0, 1, 1});
  EXPECT_EQ(error_of(pack_container(container)), PackError::BadContainer);
}

/// Sound evidence without collateral, then these sections: type and text.
std::string pack_with(const std::vector<std::pair<std::uint8_t, std::string>>& sections) {
  Evidence bare = evidence();
  bare.collateral.reset();
  Bytes container = container_of(bare);
  for (const auto& [type, text] : sections) {
    container.insert(container.end(), {type, 0, 0, static_cast<std::uint8_t>(text.size() >> 8U),
                                       static_cast<std::uint8_t>(text.size())});
    container.insert(container.end(), text.begin(), text.end());
  }
  return pack_container(container);
}

TEST(UnpackEvidence, TakesTheApplicationsTextsInOneOrderAndNeverEmpty) {
  const auto all = unpack_evidence(pack_with({{24, "[]"}, {25, "{}"}, {29, "m"}, {30, "{}"}}));
  ASSERT_TRUE(all.has_value());
  EXPECT_EQ(all->app, (AppDocuments{"[]", "{}", "{}"}));
  EXPECT_EQ(all->manifest, "m");
  EXPECT_EQ(unpack_evidence(pack_with({{24, "[]"}}))->app, (AppDocuments{"[]", {}, {}}));
  EXPECT_EQ(unpack_evidence(pack_with({{29, "m"}}))->app, std::nullopt);
  for (const auto& sections : std::vector<std::vector<std::pair<std::uint8_t, std::string>>>{
           {{24, ""}},
           {{24, "[]"}, {25, ""}},
           {{24, "[]"}, {30, ""}},
           {{25, "{}"}},
           {{30, "{}"}},
           {{29, "m"}, {30, "{}"}},
           {{24, "[]"}, {24, "[]"}},
           {{25, "{}"}, {24, "[]"}},
           {{24, "[]"}, {30, "{}"}, {25, "{}"}},
           {{24, "[]"}, {30, std::string(kMrConfigBytesMax + 1, ' ')}},
       }) {
    EXPECT_EQ(error_of(pack_with(sections)), PackError::BadContainer);
  }
}

TEST(UnpackEvidence, TakesSwitchesAndOcspAnswersBesideGpusOnly) {
  Evidence full = evidence();
  full.gpu_reports = {Bytes{1}};
  full.gpu_manifests = {Bytes{2}};
  full.switch_reports = {Bytes{3}, Bytes{4}};
  full.switch_chains = {Bytes{5}, Bytes{6}};
  full.ocsp_answers = {Bytes{7}, Bytes{8}};
  EXPECT_EQ(unpack_evidence(pack_evidence(full)).value(), full);
  for (const auto& sections : std::vector<std::vector<std::pair<std::uint8_t, std::string>>>{
           {{7, "r"}},
           {{9, "o"}},
           {{4, "g"}, {8, "c"}},
           {{4, "g"}, {7, "r"}, {8, "c"}, {8, "c"}},
           {{4, "g"}, {9, "o"}, {7, "r"}},
           {{4, "g"}, {7, "r"}, {6, "m"}},
       }) {
    EXPECT_EQ(error_of(pack_with(sections)), PackError::BadContainer);
  }
  const auto of_answers = [](std::size_t count) {
    std::vector<std::pair<std::uint8_t, std::string>> out = {{4, "g"}};
    out.insert(out.end(), count, {9, "o"});
    return pack_with(out);
  };
  EXPECT_TRUE(unpack_evidence(of_answers(kOcspCountMax)));
  EXPECT_EQ(error_of(of_answers(kOcspCountMax + 1)), PackError::BadContainer);
}

TEST(UnpackEvidence, RefusesWhatIsNotBase64) {
  std::string packed = pack_evidence(evidence());
  packed[10] = '!';
  EXPECT_EQ(error_of(packed), PackError::BadBase64);
  EXPECT_EQ(error_of(pack_evidence(evidence()) + "\n"), PackError::BadBase64);
}

TEST(UnpackEvidence, RefusesFramesThatHideTheirSizeOrCarryMore) {
  const Bytes container = container_of(evidence());
  Bytes frame = compress(container);
  frame.push_back(0);
  EXPECT_EQ(error_of(encode_base64(frame)), PackError::BadZstd);
  Bytes two = compress(container);
  const Bytes second = compress(Bytes{1});
  two.insert(two.end(), second.begin(), second.end());
  EXPECT_EQ(error_of(encode_base64(two)), PackError::BadZstd);
  EXPECT_EQ(error_of(""), PackError::BadZstd);

  ZSTD_CCtx* context = ZSTD_createCCtx();
  ZSTD_CCtx_setParameter(context, ZSTD_c_contentSizeFlag, 0);
  Bytes unsized(ZSTD_compressBound(container.size()));
  unsized.resize(
      ZSTD_compress2(context, unsized.data(), unsized.size(), container.data(), container.size()));
  ZSTD_freeCCtx(context);
  EXPECT_EQ(error_of(encode_base64(unsized)), PackError::BadZstd);
}

TEST(UnpackEvidence, RefusesBombsBeforeDecompressing) {
  const Bytes zeros((4U << 20U) + 1, 0);
  EXPECT_EQ(error_of(pack_container(zeros)), PackError::TooLarge);
  const Bytes within(4U << 20U, 0);
  EXPECT_EQ(error_of(pack_container(within)), PackError::BadContainer);
  PackLimits tiny;
  tiny.packed_bytes_max = 100;
  EXPECT_EQ(error_of(pack_evidence(evidence()), tiny), PackError::TooLarge);
  tiny = {};
  tiny.container_bytes_max = 100;
  EXPECT_EQ(error_of(pack_evidence(evidence()), tiny), PackError::TooLarge);
}

TEST(UnpackEvidence, NeverCrashesOnFlippedBytes) {
  const Bytes container = container_of(evidence());
  for (std::size_t offset = 0; offset < container.size(); offset += 11) {
    Bytes changed = container;
    changed[offset] ^= 0xff;
    const auto result = unpack_evidence(pack_container(changed));
    if (result) {
      EXPECT_NE(*result, evidence()) << offset;
    }
  }
}

}  // namespace
}  // namespace nostril::attestation
