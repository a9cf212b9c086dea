// The dm-verity device below a folder, asked of a twin of the device mapper at its ioctl.
#include "node/verity.h"

#include "attestation/verity.h"
#include "base/hex.h"
#include "tests/support/temp_dir.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <linux/dm-ioctl.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

namespace nostril::node {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

std::string root_text() {
  std::string out;
  for (int i = 0; i < 32; ++i) out += "ab";
  return out;
}

std::string table(const std::string& options = "") {
  return "1 254:0 254:1 4096 4096 1000 1 sha256 " + root_text() + " 0102ff" + options;
}

/// DM_TABLE_STATUS as the kernel answers it: one target, in the caller's buffer.
class FakeDeviceMapper final : public DeviceMapper {
 public:
  int request(unsigned long number, dm_ioctl* data) override {
    if (number != DM_TABLE_STATUS || data->version[0] != DM_VERSION_MAJOR) return EINVAL;
    if (data->name[0] != '\0' || data->uuid[0] != '\0') return EINVAL;
    if (error != 0) return error;
    if (data->dev != device) return ENXIO;
    const std::string& text = (data->flags & DM_STATUS_TABLE_FLAG) != 0 ? parameters : status;
    const std::size_t room = data->data_size;
    const std::size_t wanted = data->data_start + sizeof(dm_target_spec) + text.size() + 1;
    data->flags = flags;
    data->target_count = target_count;
    if (wanted > room) {
      data->flags |= DM_BUFFER_FULL_FLAG;
      return 0;
    }
    dm_target_spec spec{};
    spec.sector_start = start;
    spec.length = sectors;
    spec.next = static_cast<std::uint32_t>(wanted - data->data_start);
    std::strncpy(spec.target_type, type.c_str(), sizeof(spec.target_type) - 1);
    char* at = reinterpret_cast<char*>(data) + data->data_start;
    std::memcpy(at, &spec, sizeof(spec));
    std::memcpy(at + sizeof(spec), text.c_str(), text.size() + 1);
    data->data_size = static_cast<std::uint32_t>(wanted);
    return 0;
  }

  std::uint64_t device = 0;
  int error = 0;
  std::uint32_t flags = DM_ACTIVE_PRESENT_FLAG | DM_READONLY_FLAG;
  std::uint32_t target_count = 1;
  std::uint64_t start = 0;
  std::uint64_t sectors = 8000;
  std::string type = "verity";
  std::string parameters = table();
  std::string status = "V";
};

/// A folder of weights on some device.
class Verity : public ::testing::Test {
 protected:
  Verity() {
    fs::create_directories(weights_ / "part");
    std::ofstream(weights_ / "model.safetensors") << "weights";
    std::ofstream(weights_ / "part" / "tokenizer.json") << "{}";

    struct stat found {};

    EXPECT_EQ(stat(weights_.c_str(), &found), 0);
    mapper_.device = found.st_dev;
  }

  std::string error() {
    const auto made = verity_below(mapper_, weights_);
    return made ? "" : made.error();
  }

  test::TempDir folder_;
  fs::path weights_ = folder_.path() / "weights";
  FakeDeviceMapper mapper_;
};

TEST_F(Verity, TheMountsDeviceIsAskedAndItsRootTaken) {
  const auto device = verity_below(mapper_, weights_);
  ASSERT_TRUE(device) << device.error();
  EXPECT_EQ(encode_hex(device->root), root_text());
  EXPECT_EQ(device->salt, (std::vector<std::uint8_t>{1, 2, 0xff}));
  EXPECT_EQ(device->data_blocks, 1000U);
  EXPECT_EQ(attestation::parse_verity(attestation::print_verity(*device)), *device);
}

TEST_F(Verity, OptionsThatKeepTheRootsWordAreTaken) {
  for (const char* options :
       {" 1 restart_on_corruption", " 2 panic_on_corruption ignore_zero_blocks",
        " 8 use_fec_from_device 8:2 fec_roots 2 fec_blocks 1008 fec_start 1008",
        " 2 root_hash_sig_key_desc weights", " 0"}) {
    mapper_.parameters = table(options);
    EXPECT_EQ(error(), "") << options;
  }
}

TEST_F(Verity, OptionsThatDoNotAreRefusedByName) {
  for (const char* option : {"ignore_corruption", "check_at_most_once", "a_new_one"}) {
    for (const std::string& options :
         {fmt::format(" 1 {}", option), fmt::format(" 2 ignore_zero_blocks {}", option)}) {
      mapper_.parameters = table(options);
      EXPECT_THAT(error(), HasSubstr(fmt::format("its option {} does not keep", option)));
    }
  }
  for (const char* options :
       {" 2 restart_on_corruption", " 1 fec_roots", " x", " 0 ignore_corruption"}) {
    mapper_.parameters = table(options);
    EXPECT_THAT(error(), HasSubstr("its options can't be read")) << options;
  }
}

TEST_F(Verity, AnotherDeviceThanOneVerityTargetIsRefused) {
  const std::vector<std::pair<std::function<void(FakeDeviceMapper&)>, const char*>> changes = {
      {[](FakeDeviceMapper& m) { m.device += 1; }, "no device of the device mapper"},
      {[](FakeDeviceMapper& m) { m.error = EPERM; }, "Operation not permitted"},
      {[](FakeDeviceMapper& m) { m.type = "linear"; }, "a linear device, not dm-verity"},
      {[](FakeDeviceMapper& m) { m.target_count = 2; }, "2 targets"},
      {[](FakeDeviceMapper& m) { m.start = 8; }, "covers more"},
      {[](FakeDeviceMapper& m) { m.sectors = 8008; }, "covers more"},
      {[](FakeDeviceMapper& m) { m.flags &= ~unsigned{DM_READONLY_FLAG}; }, "read-only"},
      {[](FakeDeviceMapper& m) { m.flags |= DM_SUSPEND_FLAG; }, "not active"},
      {[](FakeDeviceMapper& m) { m.status = "C"; }, "has found corruption"},
      {[](FakeDeviceMapper& m) { m.parameters = std::string(20'000, '1'); }, "can't be read"},
      {[](FakeDeviceMapper& m) { m.parameters[0] = '0'; }, "hash type 1"},
      {[](FakeDeviceMapper& m) { m.parameters.resize(60); }, "hash type 1"},
      {[](FakeDeviceMapper& m) { m.parameters.replace(m.parameters.find("sha256"), 6, "sha512"); },
       "sha512, not sha256"},
  };
  for (const auto& [change, reason] : changes) {
    FakeDeviceMapper changed;
    changed.device = mapper_.device;
    change(changed);
    const auto made = verity_below(changed, weights_);
    ASSERT_FALSE(made) << reason;
    EXPECT_THAT(made.error(), HasSubstr(reason));
  }
}

TEST_F(Verity, EveryFileMustBeOnThatDevice) {
  const auto elsewhere = [this](const fs::path& path) -> Result<std::uint64_t, std::string> {
    return mapper_.device + (path.filename() == "tokenizer.json" ? 1 : 0);
  };
  const auto made = verity_below(mapper_, weights_, elsewhere);
  ASSERT_FALSE(made);
  EXPECT_THAT(made.error(), HasSubstr("tokenizer.json: is on another device"));
  fs::create_symlink("/etc/passwd", weights_ / "link");
  EXPECT_NE(error(), "");
  fs::remove_all(weights_);
  EXPECT_NE(error(), "");
}

TEST(OpenDeviceMapper, SaysWhatItTakes) {
  const auto none = open_device_mapper("/nonexistent/control");
  ASSERT_FALSE(none);
  EXPECT_THAT(none.error(), HasSubstr("takes root"));
}

}  // namespace
}  // namespace nostril::node
