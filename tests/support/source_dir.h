#pragma once

#include <filesystem>

namespace nostril::test {

/// The root of the checkout that the test was built from. The only object that knows the folder, so
/// that ccache recognises every other one in another checkout.
std::filesystem::path source_dir();

}  // namespace nostril::test
