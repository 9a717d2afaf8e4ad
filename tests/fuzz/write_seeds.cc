// Writes each synthetic image into a file of its name: write_seeds DIRECTORY.

#include <cstdio>
#include <fstream>
#include <string>

#include "tests/fuzz/synthetic_images.h"

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: %s DIRECTORY\n", argv[0]);
    return 2;
  }
  for (const vmwire::SyntheticImage& image : vmwire::MakeSyntheticImages()) {
    const std::string path = std::string(argv[1]) + "/" + image.name;
    std::ofstream file(path, std::ios::binary);
    file.write(reinterpret_cast<const char*>(image.file.data()),
               static_cast<std::streamsize>(image.file.size()));
    file.close();
    if (file.fail()) {
      std::fprintf(stderr, "%s: cannot write %s\n", argv[0], path.c_str());
      return 1;
    }
  }
  return 0;
}
