// The bars: one function for each, which measures and prints its rows. README.md of this folder
// says what they are.
//
// Invariants: a function leaves nothing mapped, pinned or running.
// Thread safety: from the main thread, which is alone, one after the other.
#ifndef VMWIRE_BENCH_BARS_H_
#define VMWIRE_BENCH_BARS_H_

#include <cstdint>

namespace vmwire::bench {

struct Settings {
  int rounds = 5;                      // How often what takes long is timed.
  uint64_t bytes = uint64_t{1} << 30;  // Of what is wired cold.
};

void TranslateBar(const Settings& settings);   // P1
void HoldBar(const Settings& settings);        // P2
void WireAgainBar(const Settings& settings);   // P3
void PinPageBar(const Settings& settings);     // P4
void ColdWireBar(const Settings& settings);    // P5
void ShareBar(const Settings& settings);       // P6
void LaunchBar(const Settings& settings);      // P7
void DmaCopyBar(const Settings& settings);     // P9
void ManyRangesBar(const Settings& settings);  // P10
void OnDemandBar(const Settings& settings);    // D1, D2
void BlockBar(const Settings& settings);       // B1 to B3
void FirstByteBar(const Settings& settings);   // S1

}  // namespace vmwire::bench

#endif  // VMWIRE_BENCH_BARS_H_
