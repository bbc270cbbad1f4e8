import org.apache.logging.log4j.*;
public class Main {
  public static void main(String[] a) {
    Logger log = LogManager.getLogger("com.shop.Order");
    ThreadContext.put("orderId", "4711");
    log.trace("trace me"); log.debug("took {} ms", 12); log.info("order \"placed\""); log.warn("gr\u00fcn");
    log.error("failed: {}", "x - y"); log.fatal("dead");
    ThreadContext.clearAll();
    LogManager.getLogger("json").error("boom", new IllegalStateException("bad"));
  }
}
