// Two copies of LeNet in C++, trained at the same time from different seeds, then asked together.
//
//   nnc build ../mnist/lenet.nn -o lib
//   c++ train.cpp -I lib lib/liblenet.a $(pkg-config --cflags --libs nnrt) -lz -o train
//   ./train ../mnist/data [STEPS]
#include "lenet.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>
#include <zlib.h>

using bytes = std::vector<uint8_t>;

// An idx file without its header, unpacked.
static bytes read_idx(const std::string &path, unsigned header, size_t size)
{
    std::unique_ptr<gzFile_s, int (*)(gzFile)> file(gzopen(path.c_str(), "rb"), gzclose);
    bytes all(header + size);
    if (!file || gzread(file.get(), all.data(), unsigned(all.size())) != int(all.size()))
        throw std::runtime_error("cannot read " + path);
    return bytes(all.begin() + header, all.end());
}

class Net {
  public:
    Net(int64_t seed, int64_t steps, int64_t steps_per_epoch)
    {
        nn_options options = {};
        options.threads = 1;
        options.steps = steps;
        options.steps_per_epoch = steps_per_epoch;
        lenet *raw;
        check(lenet_open(&options, &raw));
        ctx.reset(raw);
        check(lenet_init(raw, seed));
    }
    void train(const bytes &image, const bytes &label, int64_t steps)
    {
        size_t batches = label.size() / LENET_BATCH;
        for (int64_t s = 0; s < steps; s++) {
            size_t at = size_t(s) % batches * LENET_BATCH;
            check(lenet_train_step(ctx.get(), &image[at * LENET_IMAGE_SIZE], &label[at], nullptr));
        }
    }
    std::vector<float> logits(const uint8_t *image)
    {
        std::vector<float> y(LENET_OUTPUT_SIZE);
        check(lenet_forward(ctx.get(), 1, image, y.data()));
        return y;
    }

  private:
    void check(nn_status status)
    {
        if (status != NN_OK)
            throw std::runtime_error(lenet_error(ctx.get()));
    }
    std::unique_ptr<lenet, void (*)(lenet *)> ctx{nullptr, lenet_close};
};

int main(int argc, char **argv)
try {
    const std::string folder = argc > 1 ? argv[1] : "../mnist/data";
    const int64_t steps = argc > 2 ? std::atoi(argv[2]) : 350;
    const size_t trained = 9000, tested = 1000, size = LENET_IMAGE_SIZE;
    bytes image = read_idx(folder + "/train-images-idx3-ubyte.gz", 16, trained * size);
    bytes label = read_idx(folder + "/train-labels-idx1-ubyte.gz", 8, trained);
    bytes test_image = read_idx(folder + "/t10k-images-idx3-ubyte.gz", 16, tested * size);
    bytes test_label = read_idx(folder + "/t10k-labels-idx1-ubyte.gz", 8, tested);

    Net one(1, steps, trained / LENET_BATCH), two(2, steps, trained / LENET_BATCH);
    std::thread other([&] { two.train(image, label, steps); });
    one.train(image, label, steps);
    other.join();

    int right[3] = {0, 0, 0};
    for (size_t i = 0; i < tested; i++) {
        std::vector<float> y[3] = {one.logits(&test_image[i * size]), two.logits(&test_image[i * size])};
        std::transform(y[0].begin(), y[0].end(), y[1].begin(), std::back_inserter(y[2]), std::plus<>());
        for (int k = 0; k < 3; k++)
            right[k] += std::max_element(y[k].begin(), y[k].end()) - y[k].begin() == test_label[i];
    }
    std::printf("right of %zu: %d and %d alone, %d together\n", tested, right[0], right[1], right[2]);
} catch (const std::exception &e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 1;
}
