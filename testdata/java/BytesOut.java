import com.sun.tools.attach.VirtualMachine;
import javax.management.MBeanServerConnection;
import javax.management.ObjectName;
import javax.management.remote.JMXConnector;
import javax.management.remote.JMXConnectorFactory;
import javax.management.remote.JMXServiceURL;

/**
 * Prints how many bytes of a topic a broker has sent to its consumers, as it counts them itself (BytesOutPerSec): what goes to its
 * followers is not in it. It attaches to the process, so that the broker needs no port for it.
 *
 * <pre>BytesOut PROCESS_ID TOPIC</pre>
 */
public final class BytesOut {
    public static void main(String[] arguments) throws Exception {
        VirtualMachine broker = VirtualMachine.attach(arguments[0]);
        JMXServiceURL url = new JMXServiceURL(broker.startLocalManagementAgent());
        try (JMXConnector connector = JMXConnectorFactory.connect(url)) {
            MBeanServerConnection beans = connector.getMBeanServerConnection();
            ObjectName name =
                new ObjectName("kafka.server:type=BrokerTopicMetrics,name=BytesOutPerSec,topic=" + arguments[1]);
            // It appears with the first byte.
            System.out.println(beans.isRegistered(name) ? (long) beans.getAttribute(name, "Count") : 0);
        }
        broker.detach();
    }
}
