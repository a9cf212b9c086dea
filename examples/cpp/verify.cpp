// Judges a kept answer (ask --save) by its proofs alone: no network, no home.
//   verify FILE [TEST-ROOT …]         0: right; 1: something is wrong; 3: right, but no TEE stands
//   behind it
#include <nostril/base/clock.h>
#include <nostril/client/saved_answer.h>

#include <exception>
#include <fstream>
#include <iostream>
#include <sstream>
#include <string>

using namespace nostril::client;

int main(int count, char** values) {
  try {
    if (count < 2) throw std::runtime_error("which file?");
    std::ifstream file(values[1], std::ios::binary);
    std::ostringstream text;
    if (!(text << file.rdbuf())) throw std::runtime_error("the file can't be read");
    const auto answer = parse_saved_answer(text.str());
    if (!answer) throw std::runtime_error(answer.error());

    ClientSettings trust;
    for (int i = 2; i < count; ++i) trust.test_roots.push_back(values[i]);
    const auto report = check_answer(*answer, trust, nostril::SystemClock().unix_s());
    if (!report) throw std::runtime_error(report.error());

    for (const AnswerFinding& finding : report->findings) {
      std::cout << (finding.good ? "ok     " : "WRONG  ") << finding.what << "\n";
    }
    if (report->verdict) std::cout << nostril::attestation::explain(*report->verdict) << "\n";
    if (!report->good) return 1;
    return report->simulated ? 3 : 0;
  } catch (const std::exception& error) {
    std::cerr << "verify: " << error.what() << "\n";
    return 1;
  }
}
