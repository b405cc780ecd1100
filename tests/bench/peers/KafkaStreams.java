import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.ObjectReader;
import com.fasterxml.jackson.databind.ObjectWriter;
import com.sun.management.OperatingSystemMXBean;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.management.ManagementFactory;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Arrays;
import java.util.Comparator;
import java.util.Map;
import java.util.Properties;
import java.util.TreeMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.LongAdder;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.serialization.Deserializer;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.AppInfoParser;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueBytesStoreSupplier;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.Stores;

/**
 * The engine's workload in Kafka Streams: how many events each key has had and its last six, one output record per event.
 *
 * <p>Arguments: bootstrap servers, run, exactly_once_v2 or at_least_once, memory or rocksdb, stream threads (1). It reads src-RUN,
 * writes out-RUN, and keeps its state with a changelog. Lines with "#" are the settings, then one line of figures every 0.1 s:
 * events processed, of which those since the last commit (commit.interval.ms) are not committed yet, and CPU seconds of the process.
 */
public final class KafkaStreams {
    private static final String STORE = "counts";
    private static final int LAST = 6;
    private static final long TELL_MILLIS = 100;
    private static final long CLOSE_MILLIS = 12_000;
    private static final ObjectMapper JSON = new ObjectMapper();

    private KafkaStreams() {}

    /** An event as the load has it. */
    public static final class Event {
        public long i;
        public String pad;
    }

    /** How many events a key has had, and the last six. */
    public static final class State {
        public long n;
        public long[] last = {};

        void add(long i) {
            n++;
            int kept = Math.min(last.length, LAST - 1);
            long[] longer = Arrays.copyOfRange(last, last.length - kept, last.length + 1);
            longer[kept] = i;
            last = longer;
        }
    }

    /** Counts an event, and says which one it was. */
    private static final class Count implements Processor<byte[], Event, byte[], byte[]> {
        private final LongAdder processed;
        private ProcessorContext<byte[], byte[]> context;
        private KeyValueStore<byte[], State> store;

        Count(LongAdder processed) {
            this.processed = processed;
        }

        @Override
        public void init(ProcessorContext<byte[], byte[]> given) {
            context = given;
            store = given.getStateStore(STORE);
        }

        @Override
        public void process(Record<byte[], Event> event) {
            State state = store.get(event.key());
            if (state == null) {
                state = new State();
            }
            long i = event.value().i;
            state.add(i);
            store.put(event.key(), state);
            context.forward(event.withValue(Long.toString(i).getBytes(StandardCharsets.US_ASCII)));
            processed.increment();
        }
    }

    private static <T> Serde<T> json(Class<T> type) {
        ObjectReader reader = JSON.readerFor(type);
        ObjectWriter writer = JSON.writerFor(type);
        Deserializer<T> decode = (topic, bytes) -> {
            try {
                return bytes == null ? null : reader.readValue(bytes);
            } catch (IOException problem) {
                throw new UncheckedIOException(problem);
            }
        };
        return Serdes.serdeFrom((topic, value) -> {
            try {
                return value == null ? null : writer.writeValueAsBytes(value);
            } catch (IOException problem) {
                throw new UncheckedIOException(problem);
            }
        }, decode);
    }

    private static Topology topology(String run, String kind, LongAdder processed) {
        KeyValueBytesStoreSupplier kept = switch (kind) {
            case "memory" -> Stores.inMemoryKeyValueStore(STORE);
            case "rocksdb" -> Stores.persistentKeyValueStore(STORE);
            default -> throw new IllegalArgumentException(kind + ": the store is memory or rocksdb");
        };
        // The cache holds back all but the last state of a key between two commits: from the changelog, and from RocksDB.
        var store = Stores.keyValueStoreBuilder(kept, Serdes.ByteArray(), json(State.class))
            .withCachingEnabled()
            .withLoggingEnabled(Map.of());
        return new Topology()
            .addSource("source", new ByteArrayDeserializer(), json(Event.class).deserializer(), "src-" + run)
            .addProcessor("count", () -> new Count(processed), "source")
            .addStateStore(store, "count")
            .addSink("out", "out-" + run, new ByteArraySerializer(), new ByteArraySerializer(), "count");
    }

    /** Two choices of ours, in favour of throughput: a cache of 64 MB and batches of 128 KiB. The rest is as Kafka Streams sets it. */
    private static Properties settings(String bootstrap, String run, String guarantee, String threads, Path folder) {
        Properties settings = new Properties();
        settings.put(StreamsConfig.APPLICATION_ID_CONFIG, "streams-" + run);
        settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, bootstrap);
        settings.put(StreamsConfig.STATE_DIR_CONFIG, folder.toString());
        settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, guarantee);
        settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, threads);
        // Chosen so that the states of all 20,000 keys fit: out of the default of 10 MB some might go before a commit, which costs more
        // records in the changelog.
        settings.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, 64L << 20);
        // 100 ms is what Kafka Streams sets itself; it is told here so that it is printed. A commit flushes before that.
        settings.put(StreamsConfig.producerPrefix(ProducerConfig.LINGER_MS_CONFIG), 100);
        // Chosen: eight times the default of 16 KiB, so that there are fewer and larger requests.
        settings.put(StreamsConfig.producerPrefix(ProducerConfig.BATCH_SIZE_CONFIG), 128 << 10);
        settings.put(StreamsConfig.consumerPrefix(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG), "earliest");
        return settings;
    }

    private static void tellSettings(Properties given) {
        StreamsConfig all = new StreamsConfig(given);
        Map<String, Object> told = new TreeMap<>();
        for (String name : new String[] {
            StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.NUM_STREAM_THREADS_CONFIG,
            StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, StreamsConfig.BUFFERED_RECORDS_PER_PARTITION_CONFIG,
            StreamsConfig.GROUP_PROTOCOL_CONFIG,
        }) {
            told.put(name, all.values().get(name));
        }
        Map<String, Object> producer = all.getProducerConfigs("told");
        for (String name : new String[] {
            ProducerConfig.LINGER_MS_CONFIG, ProducerConfig.BATCH_SIZE_CONFIG, ProducerConfig.COMPRESSION_TYPE_CONFIG,
            ProducerConfig.ACKS_CONFIG,
        }) {
            told.put("producer." + name, producer.getOrDefault(name, "default"));
        }
        Map<String, Object> consumer = all.getMainConsumerConfigs("told", "told", 0);
        for (String name : new String[] {ConsumerConfig.MAX_POLL_RECORDS_CONFIG, ConsumerConfig.ISOLATION_LEVEL_CONFIG}) {
            told.put("consumer." + name, consumer.getOrDefault(name, "default"));
        }
        System.out.println("# Kafka Streams " + AppInfoParser.getVersion() + ", Java " + Runtime.version());
        ManagementFactory.getGarbageCollectorMXBeans().forEach(bean -> System.out.println("# collector = " + bean.getName()));
        told.forEach((name, value) -> System.out.println("# " + name + " = " + value));
    }

    private static void remove(Path folder) {
        try (var paths = Files.walk(folder)) {
            paths.sorted(Comparator.reverseOrder()).forEach(path -> path.toFile().delete());
        } catch (IOException problem) {
            problem.printStackTrace();
        }
    }

    /** Runs until it is told to end: then it commits, and removes what it kept here. */
    public static void main(String[] arguments) throws Exception {
        String run = arguments[1];
        Path folder = Files.createTempDirectory("kafka-streams-").toRealPath();
        Properties settings = settings(arguments[0], run, arguments[2], arguments.length > 4 ? arguments[4] : "1", folder);
        LongAdder processed = new LongAdder();
        CountDownLatch failed = new CountDownLatch(1);
        var streams = new org.apache.kafka.streams.KafkaStreams(topology(run, arguments[3], processed), settings);
        streams.setUncaughtExceptionHandler(problem -> {
            problem.printStackTrace();
            failed.countDown();
            return StreamThreadExceptionResponse.SHUTDOWN_CLIENT;
        });
        tellSettings(settings);
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            streams.close(Duration.ofMillis(CLOSE_MILLIS));
            remove(folder);
        }));
        streams.start();
        OperatingSystemMXBean system = ManagementFactory.getPlatformMXBean(OperatingSystemMXBean.class);
        while (!failed.await(TELL_MILLIS, TimeUnit.MILLISECONDS)) {
            System.out.println("{\"events\": " + processed.sum() + ", \"cpu\": " + system.getProcessCpuTime() / 1e9 + "}");
        }
        System.exit(1);
    }
}
